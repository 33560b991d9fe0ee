// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"nomad-systemd-driver/broker/identity"
)

// source is where keys come from.
type source struct {
	servers             []string
	ca, name, cert, key string
}

// fetch is the answer of the first server that has one, and how many keys are in it.
func (s *source) fetch(ctx context.Context, timeout time.Duration) (text []byte, n int, err error) {
	if len(s.servers) == 0 {
		return nil, 0, errors.New("name a server: --server https://ADDRESS:4646")
	}
	config, err := s.tls()
	if err != nil {
		return nil, 0, err
	}
	client := &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, // and no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var all []error
	for _, server := range s.servers {
		text, n, err := ask(ctx, client, server)
		if err == nil {
			return text, n, nil
		}
		all = append(all, fmt.Errorf("%s: %w", server, err))
	}
	return nil, 0, errors.Join(all...)
}

// tls trusts the one CA, and of its certificates those of servers only: agents have
// certificates of the same CA, for another name.
func (s *source) tls() (*tls.Config, error) {
	if s.ca == "" {
		return nil, errors.New("name the CA of the servers: --ca FILE")
	}
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), ServerName: s.name}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate (PEM)", s.ca)
	}
	if s.name == "" {
		return nil, errors.New("--name is empty: every certificate of the CA would do")
	}
	if s.cert == "" && s.key == "" {
		return config, nil
	}
	own, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, fmt.Errorf("--cert and --key: %w", err)
	}
	config.Certificates = []tls.Certificate{own}
	return config, nil
}

// ask asks one server.
func ask(ctx context.Context, client *http.Client, server string) ([]byte, int, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return nil, 0, errors.New("this is not https://ADDRESS:PORT; without TLS anybody on the way could be the server")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+u.Host+"/.well-known/jwks.json", nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("it answers %s", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, identity.MaxKeysBytes+1))
	if err != nil {
		return nil, 0, err
	}
	keys, err := identity.ParseKeys(text)
	if err != nil {
		return nil, 0, err
	}
	return text, keys.Len(), nil
}

// replace puts text into the file, whole or not at all. Everybody may read it.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".jwks-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone if all went well
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
