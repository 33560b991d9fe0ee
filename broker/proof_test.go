// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"

	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// servers sign tokens; strangers do so too, and with a key of the same id.
var servers, strangers = signer(1), signer(2)

type signer byte

func (s signer) key() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(s)}, ed25519.SeedSize))
}

func (s signer) jwks() string {
	public, _ := s.key().Public().(ed25519.PublicKey)
	return fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"k","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
}

// token is one for the task of provenSpec, with some claims changed.
func (s signer) token(t *testing.T, change jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{
		"aud": "systemd-brokerd", "nbf": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"nomad_namespace": "prod", "nomad_job_id": "web", "nomad_task": "t", "nomad_allocation_id": "a", "sub": "global:prod:web:g:t:id",
	}
	maps.Copy(claims, change)
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["kid"] = "k"
	text, err := token.SignedString(s.key())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// newProvingWorld is one whose policy asks for proof, with the servers' keys.
func newProvingWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.stop()
	w.boot(w.provingPolicy())
	w.server.keys.root, w.server.keys.rootUID = t.TempDir(), uint32(os.Getuid())
	w.putKeys(servers.jwks())
	return w
}

func (w *world) provingPolicy() *policy.Policy {
	w.t.Helper()
	text := strings.NewReplacer("ALLOC", w.alloc, "version = 1", `version = 1
identity "nomad" {
  client    = "nomad"
  audiences = ["systemd-brokerd"]
  keys      = "/jwks.json"
}`, `users        = ["alice"]`, ``, `log_drivers =`, `require_identity = true
  log_drivers =`).Replace(testPolicy)
	p, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(text)}}, twoUsers{}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) putKeys(text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.server.keys.root, "jwks.json"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) provenSpec(id, token string) *brokerv1.UnitSpec {
	s := w.spec(id)
	s.Labels = map[string]string{
		"NOMAD_NAMESPACE": "prod", "NOMAD_JOB_ID": "web", "NOMAD_GROUP_NAME": "g", "NOMAD_TASK_NAME": "t", "NOMAD_ALLOC_ID": "a",
	}
	s.IdentityToken = token
	return s
}

func (w *world) startProven(id, token string) error {
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: w.provenSpec(id, token)})
	return err
}

// TestOnlyTheTaskItselfStarts: what a rule asks proof for starts with a token of the
// servers for this very task, and with nothing else.
func TestOnlyTheTaskItselfStarts(t *testing.T) {
	w := newProvingWorld(t)
	for name, row := range map[string]struct{ token, reason string }{
		"no token":                  {"", `there is no token; give the task an identity block with aud = ["systemd-brokerd"]`},
		"no token at all":           {"hello", "not a token"},
		"what is on record of one":  {tokenProven, "not a token"},
		"what is planned":           {tokenPlanned + `{"aud":["systemd-brokerd"],"exp":true}`, "not a token"},
		"a stranger's":              {strangers.token(t, nil), "signature is not that of the servers"},
		"an old one":                {servers.token(t, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}), "expired"},
		"one for others":            {servers.token(t, jwt.MapClaims{"aud": "vault"}), "another audience"},
		"that of another run":       {servers.token(t, jwt.MapClaims{"nomad_allocation_id": "b"}), `NOMAD_ALLOC_ID="b", and the request says "a"`},
		"that of another job":       {servers.token(t, jwt.MapClaims{"nomad_job_id": "api", "sub": "global:prod:api:g:t:id"}), `NOMAD_JOB_ID="api"`},
		"that of another namespace": {servers.token(t, jwt.MapClaims{"nomad_namespace": "dev", "sub": "global:dev:web:g:t:id"}), `NOMAD_NAMESPACE="dev"`},
	} {
		err := w.startProven("a/1", row.token)
		wantCode(t, err, codes.PermissionDenied, row.reason)
		if strings.Count(row.token, ".") == 2 && strings.Contains(fmt.Sprint(err), row.token) {
			t.Errorf("%s: the token is in the error: %v", name, err)
		}
	}
	if n := len(w.pid1.Calls("StartTransientUnit")); n != 0 {
		t.Fatalf("PID 1 was asked to start %d units", n)
	}
	token := servers.token(t, nil)
	if err := w.startProven("a/1", token); err != nil {
		t.Fatal(err)
	}
	if err := w.startProven("a/1", servers.token(t, jwt.MapClaims{"jti": "renewed"})); err != nil {
		t.Errorf("a retry with a renewed token: %v", err)
	}
	if w.audit.holds(token) {
		t.Error("the audit log holds the token")
	}
	for _, text := range w.requests() {
		if strings.Contains(text, token) || !strings.Contains(text, `"identityToken":"proven"`) {
			t.Errorf("kept is %s", text)
		}
	}
	allowed := w.audit.of(eventStartAllowed)
	if len(allowed) == 0 || allowed[0]["BROKER_IDENTITY"] != "proven" || !strings.Contains(allowed[0]["BROKER_REQUEST"], `"identityToken":"proven"`) {
		t.Errorf("recorded is %v", allowed)
	}
	for _, r := range w.audit.of(eventStartDenied) {
		if r["BROKER_IDENTITY"] == "" || r["BROKER_IDENTITY"] == "proven" && !strings.Contains(r["BROKER_REASON"], "and the request says") {
			t.Errorf("recorded is %v", r)
		}
	}
}

// TestProofGatesNothingThatIsThere: without keys nothing starts, and all that runs can
// be seen, stopped and removed, also by a broker that starts anew.
func TestProofGatesNothingThatIsThere(t *testing.T) {
	w := newProvingWorld(t)
	for _, id := range []string{"a/1", "a/2"} {
		if err := w.startProven(id, servers.token(t, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(w.server.keys.root, "jwks.json")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.startProven("a/3", servers.token(t, nil)), codes.PermissionDenied, "the servers' keys cannot be used on this host: cannot open /jwks.json: no such file")
	w.putKeys(strangers.jwks())
	wantCode(t, w.startProven("a/3", servers.token(t, nil)), codes.PermissionDenied, "signature")
	w.stop()
	w.boot(w.provingPolicy())
	t.Cleanup(func() { w.stop() })
	list, err := w.client.ListUnits(w.ctx(), &brokerv1.ListUnitsRequest{})
	if err != nil || len(list.GetUnits()) != 2 {
		t.Fatalf("ListUnits = %v, %v", list, err)
	}
	beside := w.session(list.GetUnits()[0])
	beside.Spec.Labels = w.provenSpec("", "").GetLabels()
	beside.Spec.Labels["NOMAD_JOB_ID"] = "api"
	wantCode(t, w.exec(w.ctx(), beside), codes.PermissionDenied, "started with other labels")
	for _, u := range list.GetUnits() {
		if _, err := w.client.StopUnit(w.ctx(), &brokerv1.StopUnitRequest{Handle: u.GetHandle()}); err != nil {
			t.Errorf("StopUnit: %v", err)
		}
		if _, err := w.client.RemoveUnit(w.ctx(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
			t.Errorf("RemoveUnit: %v", err)
		}
	}
}

// TestReconcileKnowsWhatWasProven when the units were started.
func TestReconcileKnowsWhatWasProven(t *testing.T) {
	w := newWorld(t)
	if err := w.startProven("a/1", ""); err != nil {
		t.Fatal(err)
	}
	all, err := w.reconciler(w.provingPolicy()).Differences(w.ctx())
	if err != nil || len(all) != 1 {
		t.Errorf("of a unit that proved nothing: %v, %v", all, err)
	}
	w = newProvingWorld(t)
	if err := w.startProven("a/1", servers.token(t, nil)); err != nil {
		t.Fatal(err)
	}
	if all, err := w.reconciler(w.provingPolicy()).Differences(w.ctx()); err != nil || len(all) != 0 {
		t.Errorf("of a unit that proved what it is: %v, %v", all, err)
	}
}

// TestRequestAssumesWhatItIsTold, for the tools.
func TestRequestAssumesWhatItIsTold(t *testing.T) {
	w := newWorld(t)
	p := w.provingPolicy()
	c, _ := p.Client(clientUID())
	for token, want := range map[string]string{
		"":          "there is no token",
		tokenProven: "",
		tokenPlanned + `{"aud":["x","systemd-brokerd"],"exp":true}`: "",
		tokenPlanned + `{"aud":["systemd-brokerd"]}`:                "never expires",
		tokenPlanned + `{"aud":["x"],"exp":true}`:                   "another audience",
		tokenPlanned + `{`: "not JSON",
		"x.y.z":            "for the daemon to say",
	} {
		r, err := Request(w.provenSpec("a/1", token), c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Decide(c.Peer(), r)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", token, err, want)
		}
	}
}
