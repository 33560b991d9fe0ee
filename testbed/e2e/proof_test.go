// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

const (
	proven   = "/usr/libexec/e2e-proven"
	keysFile = "/var/lib/systemd-brokerd-keys/jwks.json"
)

//go:embed identity.hcl
var identityPolicy []byte

// provenTask runs a program that needs proof, with these identity blocks.
func provenTask(blocks ...map[string]any) task {
	return task{Type: "service", Config: map[string]any{"command": proven, "args": []string{"tick"}}, Identities: blocks}
}

func identityBlock(audience, how string) map[string]any {
	return map[string]any{"Name": "systemd-brokerd", "Audience": []string{audience}, how: true, "TTL": int64(time.Hour)}
}

// TestProofOfIdentity, with tokens that the real server signs, and the keys that a
// service without privileges fetches from it: what starts, what does not, and that
// nothing else depends on it.
func TestProofOfIdentity(t *testing.T) {
	if err := copyFile("/srv/artifacts/hello", proven, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(policyDir, "40-identity.hcl")
	t.Cleanup(func() {
		_ = os.Remove(path)
		run(t, "systemctl", "restart", "systemd-brokerd")
	})
	recordAfter(t, func() {
		if err := os.WriteFile(path, identityPolicy, 0o644); err != nil {
			t.Fatal(err)
		}
	}, policyLoaded)
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(keysFile)) })

	early := submitAs(t, "proven-early", provenTask(identityBlock("systemd-brokerd", "File")))
	wantEvent(t, early, "the servers' keys cannot be used on this host: cannot open /var/lib/systemd-brokerd-keys: no such file or directory")

	fetchKeys(t)
	good := submitAs(t, "proven-good", provenTask(identityBlock("systemd-brokerd", "File")))
	none := submitAs(t, "proven-none", provenTask())
	others := submitAs(t, "proven-others", provenTask(identityBlock("vault.io", "Env")))
	good.await("running")
	pid := good.pid()
	wantEvent(t, others, `the token is for another audience; set aud = ["systemd-brokerd"]`)
	event := wantEvent(t, none, `there is no token; give the task an identity block with aud = ["systemd-brokerd"], file = true and a ttl`)
	for _, want := range []string{`what is sent is the token of identity { name = "systemd-brokerd" }`, "systemd-brokerd policy explain <(journalctl -o json BROKER_REQUEST_ID="} {
		if !strings.Contains(event, want) {
			t.Errorf("the event lacks %q:\n%s", want, event)
		}
	}

	t.Run("a dispatched run", func(t *testing.T) { dispatched(t).await("complete") })
	t.Run("tokens of others", func(t *testing.T) { otherTokens(t, good) })
	t.Run("what is on record", func(t *testing.T) { provenOnRecord(t, good) })
	t.Run("nothing else depends on it", func(t *testing.T) {
		run(t, "rm", keysFile)
		good := good.in(t)
		run(t, "systemctl", "restart", "systemd-brokerd", "nomad")
		driverHealth(t, healthy)
		good.await("running")
		good.sameProcess(pid)
		if out := good.inTask("echo a session"); out != "a session" {
			t.Errorf("alloc exec says %q", out)
		}
		if out := run(t, "sh", "-c", "systemd-brokerd reconcile || true"); strings.Contains(out, good.unit()) {
			t.Errorf("reconcile would end what proved what it is: %s", out)
		}
		good.stop()
	})
}

// dispatched is a run of a parameterized job: the token names the job, and the run has
// an id of its own.
func dispatched(t *testing.T) *job {
	t.Helper()
	tk := provenTask(identityBlock("systemd-brokerd", "Env"))
	tk.Type, tk.Config = "batch", map[string]any{"command": proven}
	spec := tk.job("proven-template")
	spec["ParameterizedJob"] = map[string]any{}
	call(t, http.MethodPost, "/jobs", map[string]any{"Job": spec}, nil)
	var run struct{ DispatchedJobID string }
	call(t, http.MethodPost, "/job/proven-template/dispatch", map[string]any{}, &run)
	j := &job{t: t, id: run.DispatchedJobID}
	t.Cleanup(func() {
		if t.Failed() {
			j.explain()
		}
		j.purge()
		call(t, http.MethodDelete, "/job/proven-template?purge=true", nil, nil)
		j.nothingIsLeft()
	})
	return j
}

// wantEvent waits for the job to fail, and returns what its author is told.
func wantEvent(t *testing.T, j *job, want string) string {
	t.Helper()
	text := j.messages(j.await("failed"))
	if !strings.Contains(text, want) || strings.Contains(text, "Started:") {
		t.Errorf("%q is missing in the events, or the task was started:\n%s", want, text)
	}
	return text
}

// fetchKeys has the service fetch the keys of the agent's server. That speaks no TLS
// here, so this test does in front of it, with a certificate as Nomad's servers have.
func fetchKeys(t *testing.T) {
	t.Helper()
	to, err := url.Parse(strings.TrimSuffix(api, "/v1"))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(to))
	var ca []byte
	front.TLS, ca = serverCertificate(t)
	front.StartTLS()
	t.Cleanup(front.Close)
	const caFile, conf = "/etc/systemd-brokerd/nomad-ca.pem", "/etc/systemd-brokerd/keys.conf"
	t.Cleanup(func() { _, _ = os.Remove(caFile), os.Remove(conf) })
	for path, text := range map[string]string{caFile: string(ca), conf: fmt.Sprintf("OPTIONS=\"--server %s --ca %s\"\n", front.URL, caFile)} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "systemctl", "start", "systemd-brokerd-keys.service")
	if got := run(t, "stat", "-c", "%U %a", keysFile); got != "systemd-brokerd-keys 644" {
		t.Errorf("the keys are %s", got)
	}
}

func serverCertificate(t *testing.T) (*tls.Config, []byte) {
	t.Helper()
	var certs [2]*x509.Certificate
	var keys [2]*ecdsa.PrivateKey
	for i, c := range []*x509.Certificate{
		{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign},
		{DNSNames: []string{"server.global.nomad"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c.SerialNumber, c.Subject = big.NewInt(int64(i)+1), pkix.Name{CommonName: fmt.Sprint("test ", i)}
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		certs[i], keys[i] = c, key
		der, err := x509.CreateCertificate(rand.Reader, c, certs[0], &key.PublicKey, keys[0])
		if err != nil {
			t.Fatal(err)
		}
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certs[1].Raw}, PrivateKey: keys[1]}}, MinVersion: tls.VersionTLS12},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certs[0].Raw})
}

// otherTokens asks the broker as the agent's user, which may be an attacker's: with the
// token of the job, and with tokens that somebody else signed.
func otherTokens(t *testing.T, good *job) {
	file := "/var/lib/nomad/alloc/" + good.alloc + "/task/secrets/nomad_systemd-brokerd.jwt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(text))
	header, claims := parts(t, token)
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kid, _ := header["kid"].(string)
	signed := func(kid string, change jwt.MapClaims) string {
		all := jwt.MapClaims(maps.Clone(claims))
		maps.Copy(all, change)
		tk := jwt.NewWithClaims(jwt.SigningMethodEdDSA, all)
		tk.Header["kid"] = kid
		text, err := tk.SignedString(own)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// A key of ours among the servers' keys, as if they had signed what they do not.
	addKey(t, "ours", own)
	uid, gid := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	client := brokerAs(t, uid, gid)
	for i, row := range []struct {
		name, token, want string
		labels            map[string]string
	}{
		{"its own", token, "", nil},
		{"signed by us, and not otherwise", signed("ours", nil), "", nil},
		{"none", "", "there is no token", nil},
		{"changed", token[:len(token)-8] + "AAAAAAAA", "signature is not that of the servers", nil},
		{"unsigned", unsigned(token), "cannot be verified", nil},
		{"forged with the servers' key id", signed(kid, nil), "its header names EdDSA", nil},
		{"forged with an unknown key", signed("nobody", nil), "not among the servers' keys", nil},
		{"expired", signed("ours", jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), "the token expired ", nil},
		{"that never expires", signed("ours", jwt.MapClaims{"exp": nil}), "never expires", nil},
		{"for another job", token, `NOMAD_JOB_ID="proven-good", and the request says "proven-other"`, map[string]string{"NOMAD_JOB_ID": "proven-other"}},
		{"for another allocation", token, `NOMAD_ALLOC_ID=`, map[string]string{"NOMAD_ALLOC_ID": "0a1b2c3d-0000-4000-8000-000000000000"}},
		{"for another task", token, `NOMAD_TASK_NAME="task"`, map[string]string{"NOMAD_TASK_NAME": "other"}},
		{"for another group", token, `NOMAD_GROUP_NAME="group"`, map[string]string{"NOMAD_GROUP_NAME": "other"}},
	} {
		labels := map[string]string{
			"NOMAD_NAMESPACE": "default", "NOMAD_JOB_ID": "proven-good", "NOMAD_GROUP_NAME": "group", "NOMAD_TASK_NAME": "task", "NOMAD_ALLOC_ID": good.alloc,
		}
		maps.Copy(labels, row.labels)
		dir := "/var/lib/nomad/alloc/" + good.alloc
		resp, err := client.CheckStart(t.Context(), &brokerv1.CheckStartRequest{Spec: &brokerv1.UnitSpec{
			Id: fmt.Sprint("proof/", i), Name: []string{"proof"}, Labels: labels, Command: proven, IdentityToken: row.token,
			Directories: &brokerv1.Directories{Alloc: dir + "/alloc", Local: dir + "/task/local", Secrets: dir + "/task/secrets"},
			Resources:   &brokerv1.Resources{MemoryMaxBytes: 64 << 20},
			Logging:     &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_FDS, FdToken: strings.Repeat("0", 64)},
		}})
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if resp.GetAllowed() != (row.want == "") || !strings.Contains(resp.GetDenial().GetReason(), row.want) {
			t.Errorf("%s: allowed %v, %s, want %q", row.name, resp.GetAllowed(), resp.GetDenial(), row.want)
		}
	}
}

// parts are the header and the claims of a token.
func parts(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	all := strings.Split(token, ".")
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(all[i])
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the server signs %v: %v", header, claims)
	return header, claims
}

func unsigned(token string) string {
	_, claims, _ := strings.Cut(token, ".")
	claims, _, _ = strings.Cut(claims, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"x","kid":"ours"}`)) + "." + claims + ".AAAA"
}

// addKey replaces the file of keys by one of root's.
func addKey(t *testing.T, kid string, key ed25519.PrivateKey) {
	t.Helper()
	text, err := os.ReadFile(keysFile)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	public, _ := key.Public().(ed25519.PublicKey)
	set.Keys = append(set.Keys, map[string]any{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": kid, "x": base64.RawURLEncoding.EncodeToString(public)})
	if text, err = json.Marshal(set); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keysFile+".new", text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(keysFile+".new", keysFile); err != nil {
		t.Fatal(err)
	}
}

func provenOnRecord(t *testing.T, good *job) {
	out := journal(t, "-o", "json", startAllowed, "NOMAD_ALLOC_ID="+good.alloc)
	var record map[string]string
	if err := json.Unmarshal([]byte(out), &record); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if record["BROKER_IDENTITY"] != "proven" || !strings.Contains(record["BROKER_REQUEST"], `"identityToken":"proven"`) {
		t.Errorf("the record is %v", record)
	}
	if out := run(t, "sh", "-c", "systemd-brokerd policy explain <"+recordsOf(t, "proven-none")+" || true"); !strings.Contains(out, "identity") {
		t.Errorf("policy explain says of the record:\n%s", out)
	}
}

// TestProgramThatOthersCanChangeDoesNotStart, though the policy allows its path.
func TestProgramThatOthersCanChangeDoesNotStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Dir(hello)
	alices := filepath.Join(dir, "alices")
	t.Cleanup(func() { _ = os.RemoveAll(alices) })
	run(t, "sh", "-c", "mkdir -p "+alices+" && cd "+alices+" && cp "+hello+" good && cp good open && chmod 0757 open && cp good hers && chown alice hers && ln -s hers link")
	uid, gid := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	client, dirs := brokerAs(t, uid, gid), raceDirectories(t, uid, gid)
	for name, want := range map[string]string{
		"good": "", "open": "/open", "hers": "/hers", "link": "/hers",
	} {
		resp, err := client.StartUnit(t.Context(), &brokerv1.StartUnitRequest{Spec: &brokerv1.UnitSpec{
			Id: "program/" + name + "/" + rand.Text(), Name: []string{"program"}, Command: filepath.Join(alices, name),
			Directories: dirs, WorkingDirectory: "/", Resources: &brokerv1.Resources{MemoryMaxBytes: 64 << 20},
			Logging: &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
		}})
		if u := resp.GetUnit(); u != nil {
			if _, err := client.RemoveUnit(t.Context(), &brokerv1.RemoveUnitRequest{Handle: u.GetHandle()}); err != nil {
				t.Error(err)
			}
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "others than root can change "+alices+want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
