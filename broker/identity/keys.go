// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
)

// MaxKeysBytes bounds a set of keys.
const MaxKeysBytes = 256 << 10

const maxKeys = 256

// Lengths of RSA keys in bits. Checking a signature of a longer one takes too long.
const (
	leastRSA = 2048
	mostRSA  = 8192
)

// Keys are the keys that tokens may be signed with, by their ids.
type Keys struct{ byID map[string]key }

type key struct {
	public    crypto.PublicKey
	algorithm string // of the token's header
}

// jwk is a key as it is written; what is not named here does not matter to us.
type jwk struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	N   string `json:"n"`
	E   string `json:"e"`
}

// keyID is what ids of keys are made of: they end up in messages.
var keyID = regexp.MustCompile(`\A[A-Za-z0-9._:-]{1,128}\z`)

// ParseKeys reads a set of keys. Keys of kinds that tokens are not signed with are
// left out; a malformed key refuses the set, and so does a set without a usable one.
func ParseKeys(text []byte) (*Keys, error) {
	if len(text) > MaxKeysBytes {
		return nil, fmt.Errorf("the keys take more than %d bytes", MaxKeysBytes)
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&set); err != nil {
		return nil, fmt.Errorf("this is not a set of keys in JSON (JWKS): %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the set of keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("there are %d keys, more than %d", len(set.Keys), maxKeys)
	}
	all := &Keys{byID: map[string]key{}}
	for i, j := range set.Keys {
		k, err := j.key()
		switch {
		case err != nil:
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		case k == nil:
			continue
		case !keyID.MatchString(j.Kid):
			return nil, fmt.Errorf("key %d: its id is not 1 to 128 of [A-Za-z0-9._:-]", i+1)
		}
		if _, again := all.byID[j.Kid]; again {
			return nil, fmt.Errorf("key %d: another has the id %s already", i+1, j.Kid)
		}
		all.byID[j.Kid] = *k
	}
	if len(all.byID) == 0 {
		return nil, errors.New("there is no key for signatures (RS256 or EdDSA) in the set")
	}
	return all, nil
}

// Len is how many keys there are.
func (k *Keys) Len() int { return len(k.byID) }

// key is nil for a kind that no token is signed with.
func (j *jwk) key() (*key, error) {
	if j.Use != "" && j.Use != "sig" {
		return nil, nil
	}
	switch {
	case j.Kty == "RSA" && (j.Alg == "" || j.Alg == "RS256"):
		return j.rsa()
	case j.Kty == "OKP" && j.Crv == "Ed25519" && (j.Alg == "" || j.Alg == "EdDSA"):
		x, err := base64.RawURLEncoding.Strict().DecodeString(j.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("x is not %d bytes in base64url", ed25519.PublicKeySize)
		}
		return &key{ed25519.PublicKey(x), "EdDSA"}, nil
	}
	return nil, nil
}

func (j *jwk) rsa() (*key, error) {
	n, err := base64.RawURLEncoding.Strict().DecodeString(j.N)
	if err != nil {
		return nil, errors.New("n is not base64url")
	}
	e, err := base64.RawURLEncoding.Strict().DecodeString(j.E)
	if err != nil {
		return nil, errors.New("e is not base64url")
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if bits := modulus.BitLen(); bits < leastRSA || bits > mostRSA {
		return nil, fmt.Errorf("an RSA key of %d bits; %d to %d are accepted", bits, leastRSA, mostRSA)
	}
	if exponent.BitLen() > 31 || exponent.Int64() < 3 || exponent.Bit(0) == 0 {
		return nil, errors.New("the exponent of the RSA key is not an odd number from 3 to 2147483647")
	}
	return &key{&rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, "RS256"}, nil
}
