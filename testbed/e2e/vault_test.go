// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// vaultConfig has the agent use a Vault server, by the identities of its tasks. The agent
// of the test bed does not look for one.
const vaultConfig = `
vault {
  enabled               = true
  address               = "http://127.0.0.1:8200"
  jwt_auth_backend_path = "jwt-nomad"

  default_identity {
    aud = ["vault.io"]
    ttl = "1h"
  }
}

client {
  options = {
    "fingerprint.denylist" = "env_aws,env_azure,env_digitalocean,env_gce,consul,cni,bridge,plugins_cni"
  }
}
`

// TestVaultTokenIsHiddenFromOtherUsers: the token that the agent fetches for a task is in
// its /secrets and its environment, and nowhere that others read.
func TestVaultTokenIsHiddenFromOtherUsers(t *testing.T) {
	token := newCanary()
	vault(t, string(token))
	agentConfig(t, "vault.hcl", vaultConfig)
	tk := script(`sum() { sha256sum | cut -d' ' -f1; }
echo "env-sum=$(printf %s "$VAULT_TOKEN" | sum)"; echo "file-sum=$(sum </secrets/vault_token)"; echo ready; exec sleep 600`)
	tk.Vault = "e2e"
	j := submit(t, tk)
	j.await("running")
	checkAnswers(t, j.awaitLog("ready"), map[string]string{"env-sum": token.sum(), "file-sum": token.sum()})
	j.hides(token)
	for _, where := range []string{"/proc/*/environ", "/var/lib/nomad/alloc/*/task/secrets/vault_token", "/var/lib/nomad/alloc/*/task/private/vault_token"} {
		isIn(t, where, token)
	}
}

// vault is the part of a Vault server that an agent needs to fetch tokens: it gives one
// to each task that proves who it is.
func vault(t *testing.T, token string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:8200")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/sys/seal-status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"initialized": true, "sealed": false, "version": "1.18.0", "cluster_id": "e2e", "cluster_name": "e2e"})
	})
	mux.HandleFunc("PUT /v1/auth/jwt-nomad/login", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Role, JWT string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Role != "e2e" || strings.Count(in.JWT, ".") != 2 {
			http.Error(w, fmt.Sprintf("a bad login: %v", err), http.StatusBadRequest)
			return
		}
		answer(w, map[string]any{"auth": map[string]any{"client_token": token, "renewable": false, "lease_duration": 3600}})
	})
	server := &http.Server{Handler: mux}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
}
