package app

import (
	"context"
	"net/http"

	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/codec"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/letterapi"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// startAdmin starts the admin listener before the connections, so that an orchestrator sees a live process while NATS or
// Temporal is not available.
func startAdmin(cfg Config, state *adminapi.Readiness, p *parts) (*adminapi.Server, error) {
	s, err := adminapi.Start(cfg.AdminAddr, cfg.Metrics, state, p.log)
	if s != nil {
		p.add("admin listener", s.Stop)
	}
	return s, err
}

// letters returns the API of dead letters, for operators and for engines.
func letters(cfg Config, b *base) letterapi.API {
	in := &inspect.Inspector{Streams: b.streams}
	return letterapi.API{
		Letters: bus.NewDeadLetters(b.js, b.streams), Log: cfg.Log,
		Knows: func(ctx context.Context, letter bus.DeadLetter) (bool, error) {
			return in.Knows(ctx, letter, func() (client.Client, error) { return b.temporal, nil })
		},
	}
}

// adminAPI returns the admin API, nil when no operator token is configured.
func adminAPI(cfg Config, b *base, p *parts) (http.Handler, error) {
	if cfg.Gateway.OperatorToken == "" {
		return nil, nil
	}
	operators, err := adminapi.ReadOperators(cfg.Gateway.OperatorToken, cfg.Log)
	if err != nil {
		return nil, err
	}
	api := adminapi.API{Log: cfg.Log, Operators: operators, Channels: adminapi.Channels{
		Administration: &channel.Administration{Registry: b.channels, Store: store.NewChannels(b.streams), Licences: cfg.Licences},
		Advise:         pubsub.New(b.js).Advise, Log: cfg.Log, Audit: bus.NewAudit(b.js),
	}, Letters: letters(cfg, b)}
	if cfg.PayloadKeys != "" {
		payloads, err := codec.New(cfg.PayloadKeys, cfg.Log)
		if err != nil {
			return nil, err
		}
		reads := audit.NewReads(bus.NewAudit(b.js), schemas.AuditPayloadsDecrypt, cfg.Log)
		p.add("audit of reads", reads.Close)
		api.Codec = &adminapi.Codec{Payloads: payloads, Reads: reads, Origins: cfg.Gateway.CodecOrigins}
	}
	return api.Handler(), nil
}
