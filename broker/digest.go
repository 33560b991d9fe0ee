// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const keyBytes = 32

// digest identifies the content of a request. The token of the descriptors is
// not part of it: a retry hands them over again. Nor is that of the identity.
//
// It is kept in the unit, where every user can read it, and the request holds
// secrets: without a key, who knows the rest could find out a weak one by trying.
func (s *Server) digest(spec *brokerv1.UnitSpec) (string, error) {
	spec, ok := proto.Clone(spec).(*brokerv1.UnitSpec)
	if !ok {
		return "", errors.New("cannot copy the request")
	}
	spec.IdentityToken = "" // a retry may come with a renewed one
	if spec.GetLogging() != nil {
		spec.Logging.FdToken = ""
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("cannot hash the request: %w", err)
	}
	mac := hmac.New(sha256.New, s.key)
	mac.Write(b)
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// digestKey is the key of this host's digests since it was booted: a broker that
// is started anew knows the requests of the one before.
func digestKey(runtime string) ([]byte, error) {
	path := filepath.Join(runtime, "digest-key")
	key, err := os.ReadFile(path)
	if err == nil && len(key) == keyBytes {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the key of digests: %w", err)
	}
	key = make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	if err := os.WriteFile(path, key, 0o600); err != nil {
		return nil, fmt.Errorf("cannot keep the key of digests: %w", err)
	}
	return key, nil
}
