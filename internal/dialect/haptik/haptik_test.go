package haptik_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/dialect/dialecttest"
	"github.com/hookturn/hookturn/internal/dialect/haptik"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
)

func TestHaptik_Conformance(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, haptik.New(), dialecttest.Fixtures{
		Context: full(),
		Good: []byte(`{"status":false,"response":["x",` + button + `],"conversation_details":{"order":"B"},` +
			`"user_details":{"phone":"1"}}`),
		UserStore: true,
	})
}

func TestGoodStatus_Is200Only(t *testing.T) {
	t.Parallel()
	for status := 100; status <= 599; status++ {
		require.Equal(t, status == 200, haptik.New().GoodStatus(status), "%d", status)
	}
}

// FuzzDecode holds what callers rely on, for any bytes at all: a fault or an answer that can be stored and published.
func FuzzDecode(f *testing.F) {
	for _, body := range dialecttest.BadBodies() {
		if len(body) < 1000 {
			f.Add(body)
		}
	}
	for _, seed := range []string{
		`{"response":["a",` + buttonText + `,` + button + `],"status":false}`,
		`{"response":"\ud83d\ude00","conversation_details":{"a":null,"b":[1e400]},"user_details":{"name":null}}`,
		`{"message":"a","hsl":[{}],"user_details":{"a":{"b":{}}},"response":""}`,
	} {
		f.Add([]byte(seed))
	}
	d, c := haptik.New(), full()
	f.Fuzz(func(t *testing.T, body []byte) {
		answer, err := d.Decode(c, body)
		if err != nil {
			require.NotEqual(t, fault.Internal, fault.Of(err).Kind)
			require.True(t, utf8.ValidString(err.Error()))
			require.Zero(t, answer)
		} else {
			require.NotEmpty(t, answer.Messages)
			_, err = strictjson.ReadObject(answer.ConversationDetails)
			require.NoError(t, err)
			merged, err := d.MergeUserDetails(c.UserDetails, answer.UserDetailsUpdate)
			require.NoError(t, err, "an update that Decode lets through fits the store it knew")
			require.LessOrEqual(t, utf8.RuneCount(merged), 200)
			_, err = json.Marshal(answer.Messages)
			require.NoError(t, err)
		}
		if output, err := haptik.DecodeCode(c, body); err == nil {
			require.True(t, json.Valid(output.Output))
		} else {
			require.Equal(t, fault.ScriptBadResponse, fault.Of(err).Kind)
		}
	})
}
