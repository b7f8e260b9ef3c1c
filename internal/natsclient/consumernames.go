package natsclient

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// ConsumerNames returns the names of all consumers of the stream, sorted. It sends a request for each 1,024 of them. A
// consumer that is created or deleted meanwhile moves the others from page to page: one may be left out.
func (l Leader) ConsumerNames(ctx context.Context) ([]string, error) {
	var names []string
	for {
		page, err := l.consumerNames(ctx, len(names))
		if err != nil {
			return nil, err
		}
		names = append(names, page.Consumers...)
		if len(page.Consumers) == 0 || len(names) >= page.Total {
			slices.Sort(names)
			return slices.Compact(names), nil
		}
	}
}

type namesPage struct {
	Error     *jetstream.APIError `json:"error"`
	Total     int                 `json:"total"`
	Consumers []string            `json:"consumers"`
}

func (l Leader) consumerNames(ctx context.Context, offset int) (*namesPage, error) {
	request, err := json.Marshal(map[string]any{"offset": offset})
	if err != nil {
		return nil, err
	}
	subject := "CONSUMER.NAMES." + l.stream
	return once(ctx, guard{rights: l.rights}, nil, to(subject), func(ctx context.Context) (*namesPage, error) {
		answer, err := l.nc.RequestWithContext(ctx, l.api+subject, request)
		if err != nil {
			return nil, err
		}
		var page namesPage
		if err := json.Unmarshal(answer.Data, &page); err != nil {
			return nil, err
		}
		if page.Error != nil {
			return nil, page.Error
		}
		return &page, nil
	})
}
