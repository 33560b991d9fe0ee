// SPDX-License-Identifier: MPL-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const jwks = `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

// authority is a CA, with its certificate in a file.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	var der []byte
	a.key, der = a.make(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) make(c *x509.Certificate, parent *authority) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	by, signer := c, key
	if parent != nil {
		by, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

// serve is a server with a certificate for name.
func (a *authority) serve(name, answer string, status int) string {
	a.t.Helper()
	key, der := a.make(&x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, a)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/jwks.json" {
			status = http.StatusNotFound
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s.URL
}

func TestKeysComeFromAServerOnly(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	const server = "server.global.nomad"
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(jwks)) }))
	t.Cleanup(plain.Close)
	good := ours.serve(server, jwks, http.StatusOK)
	for _, row := range []struct {
		name string
		args []string
		err  string
	}{
		{"a server", []string{"--server", good}, ""},
		{"the second of two", []string{"--server", theirs.serve(server, jwks, http.StatusOK), "--server", good + "/"}, ""},
		{"of another region", []string{"--server", ours.serve("server.eu.nomad", jwks, http.StatusOK), "--name", "server.eu.nomad"}, ""},
		{"somebody with another CA", []string{"--server", theirs.serve(server, jwks, http.StatusOK)}, "certificate signed by unknown authority"},
		{"an agent that is no server", []string{"--server", ours.serve("client.global.nomad", jwks, http.StatusOK)}, "not " + server},
		{"without TLS", []string{"--server", plain.URL}, "not https://"},
		{"a path", []string{"--server", good + "/v1"}, "not https://"},
		{"an error", []string{"--server", ours.serve(server, jwks, http.StatusInternalServerError)}, "500"},
		{"a redirection", []string{"--server", ours.serve(server, jwks, http.StatusFound)}, "302"},
		{"no keys", []string{"--server", ours.serve(server, `{"keys":[]}`, http.StatusOK)}, "no key for signatures"},
		{"too much", []string{"--server", ours.serve(server, strings.Repeat(" ", 1<<20), http.StatusOK)}, "take more than"},
		{"no server", nil, "name a server"},
		{"no CA", []string{"--server", good, "--ca", ""}, "name the CA"},
		{"no name", []string{"--server", good, "--name", ""}, "every certificate"},
		{"a certificate that is not there", []string{"--server", good, "--cert", "/nonexistent"}, "--cert and --key"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "jwks.json")
			if err := os.WriteFile(out, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := run(t.Context(), append([]string{"--ca", ours.file, "--out", out}, row.args...))
			text, rerr := os.ReadFile(out)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if row.err != "" {
				if err == nil || !strings.Contains(err.Error(), row.err) || string(text) != "before" {
					t.Errorf("got %v, want %q; the file holds %q", err, row.err, text)
				}
				return
			}
			info, serr := os.Stat(out)
			if err != nil || string(text) != jwks || serr != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("got %v; the file holds %q, %v", err, text, info.Mode())
			}
			if left, _ := filepath.Glob(filepath.Dir(out) + "/.jwks-*"); len(left) > 0 {
				t.Errorf("left is %v", left)
			}
		})
	}
}
