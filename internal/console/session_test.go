package console

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fresh"
	"github.com/hookturn/hookturn/internal/httpapi"
)

func TestConsole_Login(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, path := range []string{"/", "/conversations", "/do/bot_pause", "/unknown"} {
		w := r.send(httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusSeeOther, w.Code, path)
		require.Equal(t, "/login", w.Header().Get("Location"), path)
	}
	for _, token := range []string{"", "wrong-token-of-a-stranger", viewerToken + "x"} {
		w := r.send(r.form("/login", url.Values{"token": {token}}))
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.Empty(t, w.Result().Cookies())
		require.NotContains(t, w.Body.String(), viewerToken)
	}
	b := r.login(t, viewerToken)
	require.Equal(t, "hookturn-console", b.cookie.Name)
	require.True(t, b.cookie.HttpOnly)
	require.False(t, b.cookie.Secure)
	require.Equal(t, http.SameSiteStrictMode, b.cookie.SameSite)
	require.Equal(t, int(sessionTime/time.Second), b.cookie.MaxAge)
	require.NotContains(t, b.cookie.Value, "token")

	forwarded := r.form("/login", url.Values{"token": {viewerToken}})
	forwarded.Header.Set("X-Forwarded-Proto", "https")
	cookie := r.send(forwarded).Result().Cookies()[0]
	require.True(t, cookie.Secure)
	require.Equal(t, "__Host-hookturn-console", cookie.Name)

	require.Equal(t, http.StatusServiceUnavailable, b.get("/steps").Code, "logged in, and not connected to NATS")
	require.Equal(t, http.StatusNotFound, b.get("/unknown").Code)
	require.Equal(t, http.StatusSeeOther, b.post("/logout", url.Values{}).Code)
	require.Equal(t, "/login", b.get("/steps").Header().Get("Location"))
}

func TestConsole_HeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.login(t, viewerToken)
	answers := []*httptest.ResponseRecorder{
		b.get("/login"), b.get("/style.css"), b.get("/steps"), b.get("/unknown"), b.get("/deadletters?x=%zz"),
		r.send(httptest.NewRequest(http.MethodGet, "/", nil)), r.send(r.form("/login", url.Values{})),
	}
	for n, w := range answers {
		h := w.Header()
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'", n)
		require.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", n)
		require.NotContains(t, h.Get("Content-Security-Policy"), "script", n)
		require.Equal(t, "no-store", h.Get("Cache-Control"), n)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), n)
		require.Equal(t, "same-origin", h.Get("Referrer-Policy"), n)
	}
}

// TestConsole_SessionEndsWithItsToken changes the file of tokens: a role counts from then on, a removed token ends the session.
func TestConsole_SessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ann, bob := r.login(t, viewerToken), r.login(t, operatorToken)
		denied := func(b *browser) int { return b.get("/do/bot_pause?tenant=default&bot=shop").Code }
		require.Equal(t, http.StatusForbidden, denied(ann))
		require.Equal(t, http.StatusServiceUnavailable, denied(bob))

		require.NoError(t, os.WriteFile(r.tokens, []byte("bob viewer "+operatorToken+"\nann2 viewer "+viewerToken), 0o600))
		<-time.After(fresh.Interval)
		require.Equal(t, http.StatusForbidden, denied(bob))
		require.Equal(t, http.StatusSeeOther, denied(ann), "the token has another name")

		require.NoError(t, os.WriteFile(r.tokens, []byte(operatorFile[:strings.Index(operatorFile, "bob")]), 0o600))
		<-time.After(fresh.Interval)
		require.Equal(t, "/login", bob.get("/steps").Header().Get("Location"))
		require.NoError(t, os.WriteFile(r.tokens, []byte(operatorFile), 0o600))
		<-time.After(fresh.Interval)
		require.Equal(t, "/login", bob.get("/steps").Header().Get("Location"), "it does not begin again")
	})
}

func TestConsole_SessionExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t).login(t, viewerToken)
		<-time.After(sessionTime - time.Second)
		require.Equal(t, http.StatusServiceUnavailable, b.get("/steps").Code)
		<-time.After(time.Second)
		require.Equal(t, http.StatusSeeOther, b.get("/steps").Code)
	})
}

func TestSessions_Bounded(t *testing.T) {
	t.Parallel()
	s, now := newSessions(), time.Now()
	first := s.begin(httpapi.DigestOf("a"), "ann", now)
	other := s.begin(httpapi.DigestOf("b"), "bob", now)
	for n := range tokenSessionsMax {
		s.begin(httpapi.DigestOf("a"), "ann", now.Add(time.Duration(n+1)*time.Second))
	}
	later := now.Add(time.Minute)
	require.Nil(t, s.find(first, later), "the oldest session of the token")
	require.NotNil(t, s.find(other, later))
	require.Len(t, s.byID, tokenSessionsMax+1)
	for n := range 2 * sessionsMax {
		s.begin(httpapi.DigestOf(fmt.Sprint(n)), "x", later)
	}
	require.Len(t, s.byID, sessionsMax)
	s.begin(httpapi.DigestOf("c"), "carla", later.Add(sessionTime))
	require.Len(t, s.byID, 1, "expired sessions are not kept")
}

func TestConsole_FailedLoginsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := newRig(t, logTo(&log))
		from := func(addr, token string) int {
			request := r.form("/login", url.Values{"token": {token}})
			request.RemoteAddr = addr
			return r.send(request).Code
		}
		for n := range failuresMax {
			require.Equal(t, http.StatusUnauthorized, from(fmt.Sprintf("[2001:db8::%d]:999", n), "wrong"))
		}
		require.Equal(t, http.StatusTooManyRequests, from("[2001:db8::ff]:1", viewerToken), "the network has failed too often")
		require.Equal(t, http.StatusSeeOther, from("[2001:db8:0:1::1]:1", viewerToken))
		<-time.After(failuresWindow)
		require.Equal(t, http.StatusSeeOther, from("[2001:db8::ff]:1", viewerToken))
		require.Contains(t, log.String(), `msg="login to the console failed" remote_addr=2001:db8::9`)
		require.NotContains(t, log.String(), "wrong")
		require.NotContains(t, log.String(), viewerToken)
	})
}

// TestConsole_UnknownAddress: logins whose address a trusted proxy did not write are counted together, not as the proxy's.
func TestConsole_UnknownAddress(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := newRig(t, logTo(&log), func(o *Options) { o.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	from := func(forwarded, token string) int {
		request := r.form("/login", url.Values{"token": {token}})
		request.RemoteAddr = "10.0.0.1:1"
		request.Header.Set("X-Forwarded-For", forwarded)
		return r.send(request).Code
	}
	for range failuresMax {
		require.Equal(t, http.StatusUnauthorized, from("unknown", "wrong"))
	}
	require.Equal(t, http.StatusTooManyRequests, from("unix:", viewerToken))
	require.Equal(t, http.StatusSeeOther, from("", viewerToken), "the proxy itself did not fail")
	require.Equal(t, http.StatusSeeOther, from("198.51.100.7:41234", viewerToken))
	require.Contains(t, log.String(), `msg="login to the console failed" remote_addr=""`)
}

// TestFailures_BoundedAddresses: many networks that fail do not keep an operator at another address from logging in.
func TestFailures_BoundedAddresses(t *testing.T) {
	t.Parallel()
	f, now := &failures{}, time.Now()
	fail := func(addr string, at time.Time) {
		for range failuresMax {
			f.add(netip.MustParseAddr(addr), at)
		}
	}
	fail("10.1.0.1", now)
	fail("10.1.0.2", now.Add(time.Second))
	for n := range addressesMax - 1 {
		f.add(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), now.Add(2*time.Second))
	}
	require.Len(t, f.of, addressesMax)
	later := now.Add(time.Minute)
	require.False(t, f.blocked(netip.MustParseAddr("192.0.2.1"), later), "it did not fail")
	require.False(t, f.blocked(netip.MustParseAddr("10.1.0.1"), later), "the oldest window is not kept")
	require.True(t, f.blocked(netip.MustParseAddr("10.1.0.2"), later))
	fail("192.0.2.1", later)
	require.True(t, f.blocked(netip.MustParseAddr("192.0.2.1"), later), "it is counted as well")
	f.add(netip.MustParseAddr("192.0.2.2"), later.Add(failuresWindow))
	require.Len(t, f.of, 1)
}
