package natsclient

import (
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
)

// Bounds of what is sent to NATS in a control line. The server closes a connection for good when a control line is longer
// than 4,096 bytes, so a text from outside must never make one that long.
const (
	// SubjectMax bounds a subject, a filter or a key, in bytes; the longest that hookturn makes has about 700.
	SubjectMax = 1024
	objectMax  = 512 // bytes of an object's name, which travels as base64
)

// checkSubject returns an error of the kind bad_event unless subject can be published to: tokens of A-Z a-z 0-9 _ - = / $
// with dots between them, 1,024 bytes in all. The error does not quote the subject.
func checkSubject(subject string) error { return checkTokens("subject", subject, false) }

// checkFilter is checkSubject for subscriptions and consumers: a token may be *, the last one >.
func checkFilter(filter string) error { return checkTokens("subject filter", filter, true) }

// CheckKey returns an error of the kind bad_event unless key can be the key of a bucket, or the name of a stream, a
// consumer or a bucket; the same rules as for a subject.
func CheckKey(key string) error { return checkTokens("key", key, false) }

// KeySubject returns the subject by which a key of a bucket is written, for writes that the library's KeyValue does not
// offer. An account that has JetStream from another one as a domain imports it with the prefix of the domain.
func KeySubject(js jetstream.JetStream, bucket, key string) string {
	subject := "$KV." + bucket + "." + key
	if domain := js.Options().Domain; domain != "" {
		return "$JS." + domain + ".API." + subject
	}
	return subject
}

// checkObject returns an error of the kind bad_event unless name can be the name of an object.
func checkObject(name string) error {
	if len(name) > objectMax {
		return fault.New(fault.BadEvent, "invalid object name: has %d bytes, expected at most %d", len(name), objectMax)
	}
	return checkTokens("object name", name, false)
}

func checkTokens(what, text string, wildcards bool) error {
	if len(text) > SubjectMax {
		return fault.New(fault.BadEvent, "invalid %s: has %d bytes, expected at most %d", what, len(text), SubjectMax)
	}
	for rest, more := text, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if wildcards && (token == "*" || token == ">" && !more) {
			continue
		}
		if token == "" || strings.ContainsFunc(token, isForeign) {
			return fault.New(fault.BadEvent,
				"invalid %s: expected words of A-Z a-z 0-9 _ - = / $ with dots between them", what)
		}
	}
	return nil
}

// isForeign reports whether a character cannot be part of a subject's token.
func isForeign(c rune) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return false
	}
	return !strings.ContainsRune("_-=/$", c)
}

// firstError returns the first error of a list.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkConsumer checks the texts of a consumer's configuration that travel in the subject of the request for it.
func checkConsumer(cfg jetstream.ConsumerConfig) error {
	for _, name := range []string{cfg.Name, cfg.Durable} {
		if err := checkOptional(CheckKey, name); err != nil {
			return err
		}
	}
	if err := checkOptional(checkFilter, cfg.FilterSubject); err != nil {
		return err
	}
	return checkEach(checkFilter, cfg.FilterSubjects)
}

// checkOrdered is checkConsumer for ordered consumers.
func checkOrdered(cfg jetstream.OrderedConsumerConfig) error {
	return firstError(checkOptional(CheckKey, cfg.NamePrefix), checkEach(checkFilter, cfg.FilterSubjects))
}

func checkStreamConfig(cfg jetstream.StreamConfig) error {
	return firstError(CheckKey(cfg.Name), checkEach(checkFilter, cfg.Subjects))
}

func checkOptional(check func(string) error, text string) error {
	if text == "" {
		return nil
	}
	return check(text)
}

func checkEach(check func(string) error, texts []string) error {
	for _, text := range texts {
		if err := check(text); err != nil {
			return err
		}
	}
	return nil
}
