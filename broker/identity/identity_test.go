// SPDX-License-Identifier: MPL-2.0

package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"nomad-systemd-driver/broker/identity"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// servers are whose keys count; other is somebody else with keys of the same ids.
var servers, other = newSigner(1), newSigner(2)

type signer struct {
	rsa *rsa.PrivateKey
	ed  ed25519.PrivateKey
}

// newSigner has one key that is always the same: tests of fuzzing are several processes.
func newSigner(seed byte) *signer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return &signer{r, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwks are the signer's keys as Nomad's servers show them.
func (s *signer) jwks() string {
	return fmt.Sprintf(`{"keys":[{"use":"sig","kty":"RSA","kid":"r1","alg":"RS256","n":%q,"e":"AQAB"},`+
		`{"use":"sig","kty":"OKP","kid":"e1","crv":"Ed25519","alg":"EdDSA","x":%q}]}`,
		b64(s.rsa.N.Bytes()), b64(s.ed.Public().(ed25519.PublicKey)))
}

func (s *signer) keys(t testing.TB) *identity.Keys {
	t.Helper()
	k, err := identity.ParseKeys([]byte(s.jwks()))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign makes a token with any header and claims.
func (s *signer) sign(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	text := b64(h) + "." + b64(c)
	var method jwt.SigningMethod
	var key any
	switch header["alg"] {
	case "RS256":
		method, key = jwt.SigningMethodRS256, s.rsa
	case "RS384":
		method, key = jwt.SigningMethodRS384, s.rsa
	case "PS256":
		method, key = jwt.SigningMethodPS256, s.rsa
	case "EdDSA":
		method, key = jwt.SigningMethodEdDSA, crypto.Signer(s.ed)
	case "HS256": // with the public key as secret, the oldest of all forgeries
		method, key = jwt.SigningMethodHS256, []byte(s.jwks())
	default:
		return text + "."
	}
	sig, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(sig)
}

func goodHeader() map[string]any { return map[string]any{"alg": "RS256", "kid": "r1", "typ": "JWT"} }

// goodClaims are those of a named identity, as Nomad 1.11 writes them.
func goodClaims() map[string]any {
	return map[string]any{
		"aud": []string{"systemd-brokerd"}, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": "x",
		"nomad_allocation_id": "a1", "nomad_job_id": "web", "nomad_namespace": "prod", "nomad_task": "server",
		"sub": "global:prod:web:group:server:systemd-brokerd",
	}
}

var wanted = identity.Wanted{Audiences: []string{"systemd-brokerd", "spare"}, Now: now.Add(time.Minute)}

func TestVerify(t *testing.T) {
	good := identity.Claims{Namespace: "prod", Job: "web", Group: "group", Task: "server", Alloc: "a1"}
	for _, row := range []struct {
		name   string
		header map[string]any
		claims map[string]any // nil takes one away
		by     *signer
		wanted func(*identity.Wanted)
		is     identity.Claims
		err    string
	}{
		{name: "signed with RS256", is: good},
		{name: "signed with EdDSA", header: map[string]any{"alg": "EdDSA", "kid": "e1"}, is: good},
		{name: "for several audiences", claims: map[string]any{"aud": []string{"vault", "spare"}}, is: good},
		{name: "for one audience, which is no list", claims: map[string]any{"aud": "systemd-brokerd"}, is: good},
		{name: "before its time by less than clocks differ", wanted: at(now.Add(-20 * time.Second)), is: good},
		{name: "of a group with colons", claims: map[string]any{"sub": "global:prod:web:a:b:server:id"}, is: identity.Claims{Namespace: "prod", Job: "web", Group: "a:b", Task: "server", Alloc: "a1"}},
		{
			name: "of names with colons", claims: map[string]any{"sub": "global:prod:a:b:c:d:e:id", "nomad_job_id": "a:b", "nomad_task": "d:e"},
			is: identity.Claims{Namespace: "prod", Job: "a:b", Group: "c", Task: "d:e", Alloc: "a1"},
		},
		{name: "without an end, where that is accepted", claims: map[string]any{"exp": nil}, wanted: func(w *identity.Wanted) { w.Unexpiring = true }, is: good},

		{name: "by somebody else", by: other, err: "signature is not that of the servers"},
		{name: "by somebody else, EdDSA", by: other, header: map[string]any{"alg": "EdDSA", "kid": "e1"}, err: "signature is not that of the servers"},
		{name: "unsigned", header: map[string]any{"alg": "none"}, err: "signature is not that of the servers"},
		{name: "HMAC with the public keys", header: map[string]any{"alg": "HS256"}, err: "signature is not that of the servers"},
		{name: "RS384", header: map[string]any{"alg": "RS384"}, err: "signature is not that of the servers"},
		{name: "PS256", header: map[string]any{"alg": "PS256"}, err: "signature is not that of the servers"},
		{name: "an unknown algorithm", header: map[string]any{"alg": "x"}, err: "cannot be verified"},
		{name: "no algorithm", header: map[string]any{"alg": nil}, err: "cannot be verified"},
		{name: "a key for another algorithm", header: map[string]any{"kid": "e1"}, err: "its header names RS256, and the key e1 is for EdDSA"},
		{name: "a key that is not there", header: map[string]any{"kid": "r2"}, err: "the key r2, which is not among the servers' keys"},
		{name: "no key", header: map[string]any{"kid": nil}, err: "names no key"},
		{name: "a key that is no word", header: map[string]any{"kid": "a\nb"}, err: "names no key"},
		{name: "extensions", header: map[string]any{"crit": []string{"exp"}}, err: "asks for extensions"},
		{name: "another audience", claims: map[string]any{"aud": []string{"vault"}}, err: `another audience; set aud = ["systemd-brokerd"]`},
		{name: "no audience", claims: map[string]any{"aud": nil}, err: "another audience"},
		{name: "an empty audience", claims: map[string]any{"aud": []string{}}, err: "another audience"},
		{name: "no audience wanted", wanted: func(w *identity.Wanted) { w.Audiences = nil }, err: "names no audience"},
		{name: "expired", wanted: at(now.Add(2 * time.Hour)), err: "the token expired 1h0m0s ago"},
		{name: "not valid yet", wanted: at(now.Add(-time.Hour)), err: "not valid yet"},
		{name: "without an end", claims: map[string]any{"exp": nil}, err: "never expires"},
		{name: "of a service", claims: map[string]any{"nomad_task": nil}, err: "not that of a task"},
		{name: "without an allocation", claims: map[string]any{"nomad_allocation_id": nil}, err: "not that of a task"},
		{name: "without a namespace", claims: map[string]any{"nomad_namespace": nil}, err: "not that of a task"},
		{name: "of a node", claims: map[string]any{"sub": "node:global:default:n:default"}, err: "not that of a task"},
		{name: "whose subject is another job's", claims: map[string]any{"sub": "global:prod:api:group:server:id"}, err: "not that of a task"},
		{name: "whose subject has no group", claims: map[string]any{"sub": "global:prod:web::server:id"}, err: "not that of a task"},
		{name: "whose subject is too short", claims: map[string]any{"sub": "global:prod:web:server:id"}, err: "not that of a task"},
		{name: "claims of another type", claims: map[string]any{"nomad_job_id": 1}, err: "not a token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			header, claims, by, w := goodHeader(), goodClaims(), servers, wanted
			merge(header, row.header)
			merge(claims, row.claims)
			if row.by != nil {
				by = row.by
			}
			if row.wanted != nil {
				row.wanted(&w)
			}
			got, err := servers.keys(t).Verify(by.sign(t, header, claims), w)
			if row.err != "" {
				if got != nil || err == nil || !strings.Contains(err.Error(), row.err) || strings.ContainsAny(err.Error(), "\n\x00") {
					t.Errorf("Verify = %v, %v, want the error %q", got, err, row.err)
				}
				return
			}
			if err != nil || *got != row.is {
				t.Errorf("Verify = %v, %v, want %v", got, err, row.is)
			}
		})
	}
}

func at(when time.Time) func(*identity.Wanted) { return func(w *identity.Wanted) { w.Now = when } }

func merge(into, from map[string]any) {
	maps.Copy(into, from)
	maps.DeleteFunc(into, func(_ string, v any) bool { return v == nil })
}

func TestNoToken(t *testing.T) {
	good := servers.sign(t, goodHeader(), goodClaims())
	for name, token := range map[string]string{
		"nothing": "", "no dots": "a", "one dot": "a.b", "dots only": "..", "another part": good + ".x", "no signature": good[:strings.LastIndex(good, ".")],
		"a line's end": good + "\n", "null": b64([]byte("null")) + "." + b64([]byte("null")) + ".x", "too long": good + strings.Repeat("A", identity.MaxTokenBytes),
		"other base64": strings.ReplaceAll(good, ".", "=."),
	} {
		if c, err := servers.keys(t).Verify(token, wanted); c != nil || err == nil {
			t.Errorf("%s: Verify = %v, %v, want an error", name, c, err)
		}
	}
}

func TestParseKeys(t *testing.T) {
	modulus := func(bits int) string { return b64(new(big.Int).Lsh(big.NewInt(1), uint(bits-1)).Bytes()) }
	rsaKey := func(n, e string) string {
		return fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"k","n":%q,"e":%q}]}`, n, e)
	}
	for _, row := range []struct {
		name, text string
		n          int
		err        string
	}{
		{"as Nomad shows them", servers.jwks(), 2, ""},
		{"others are left out", strings.Replace(servers.jwks(), `"keys":[`, `"keys":[{"kty":"EC","crv":"P-256","kid":"x"},{"kty":"RSA","use":"enc"},{"kty":"RSA","alg":"RS512"},`, 1), 2, ""},
		{"none", `{"keys":[]}`, 0, "no key for signatures"},
		{"no set", `[]`, 0, "not a set of keys"},
		{"nothing", ``, 0, "not a set of keys"},
		{"more than a set", servers.jwks() + "x", 0, "after the set"},
		{"the same id twice", strings.Replace(servers.jwks(), `"e1"`, `"r1"`, 1), 0, "another has the id r1"},
		{"no id", strings.Replace(servers.jwks(), `"e1"`, `""`, 1), 0, "its id is not"},
		{"an id of two lines", strings.Replace(servers.jwks(), `"e1"`, `"a\nb"`, 1), 0, "its id is not"},
		{"a short RSA key", rsaKey(modulus(1024), "AQAB"), 0, "of 1024 bits"},
		{"a long RSA key", rsaKey(modulus(16384), "AQAB"), 0, "of 16384 bits"},
		{"the exponent 1", rsaKey(modulus(2048), "AQ"), 0, "exponent"},
		{"an even exponent", rsaKey(modulus(2048), "BA"), 0, "exponent"},
		{"a huge exponent", rsaKey(modulus(2048), modulus(64)), 0, "exponent"},
		{"no base64", rsaKey("!", "AQAB"), 0, "n is not"},
		{"a short Ed25519 key", `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AAAA"}]}`, 0, "x is not 32 bytes"},
		{"too many", `{"keys":[` + strings.Repeat(`{},`, 256) + `{}]}`, 0, "257 keys"},
		{"too much", strings.Repeat(" ", identity.MaxKeysBytes+1), 0, "take more than"},
	} {
		t.Run(row.name, func(t *testing.T) {
			k, err := identity.ParseKeys([]byte(row.text))
			if row.err != "" {
				if k != nil || err == nil || !strings.Contains(err.Error(), row.err) {
					t.Errorf("ParseKeys = %v, %v, want the error %q", k, err, row.err)
				}
				return
			}
			if err != nil || k.Len() != row.n {
				t.Errorf("ParseKeys = %v, %v, want %d keys", k, err, row.n)
			}
		})
	}
}

// FuzzVerify wants that no token counts but those that were signed.
func FuzzVerify(f *testing.F) {
	signed := map[string]bool{}
	for _, header := range []map[string]any{goodHeader(), {"alg": "EdDSA", "kid": "e1"}} {
		token := servers.sign(f, header, goodClaims())
		signed[token] = true
		f.Add(token)
	}
	f.Add(servers.sign(f, map[string]any{"alg": "none"}, goodClaims()))
	f.Add("e30.bnVsbA.")
	keys := servers.keys(f)
	f.Fuzz(func(t *testing.T, token string) {
		c, err := keys.Verify(token, wanted)
		if (c == nil) == (err == nil) || err == nil && !signed[token] || err != nil && strings.ContainsAny(err.Error(), "\n\x00\x1b") {
			t.Errorf("Verify(%q) = %v, %v", token, c, err)
		}
	})
}

// FuzzParseKeys wants keys or an error of any text, and that keys can be used.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(servers.jwks()))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"r1","n":"AQAB","e":"AQAB"}]}`))
	token := servers.sign(f, goodHeader(), goodClaims())
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := identity.ParseKeys(text)
		if (k == nil) == (err == nil) {
			t.Fatalf("ParseKeys = %v, %v", k, err)
		}
		if k != nil {
			_, _ = k.Verify(token, wanted)
		}
	})
}
