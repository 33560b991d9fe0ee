// SPDX-License-Identifier: MPL-2.0

// Package identity verifies what a client's servers say of a task: signed tokens
// (JWT, RFC 7519) that the client hands on, against keys (JWKS, RFC 7517) that it
// cannot change.
//
// Threat: the client may be fully under an attacker's control, and sends any bytes.
// A token counts if one of the keys signed it, with the one algorithm that the key is
// for; if it is for an audience that the operator chose, and in force; and only for
// what it says. It does not say which program is to run: it proves for whom.
//
// The package does no I/O and has no clock. Duty of the caller: keys from a file that
// no client can write to, and the time.
//
// The names of the claims are those that Nomad's servers write; nothing else here is
// Nomad's. Signatures and times are checked by github.com/golang-jwt/jwt: one package
// on top of the standard library, against three of go-jose, which also decrypts.
package identity
