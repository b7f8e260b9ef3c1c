package app

import (
	"net/http"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/codec"
	"github.com/hookturn/hookturn/internal/letterapi"
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
		Advise:         bus.NewPubSub(b.js).Advise, Log: cfg.Log, Audit: bus.NewAudit(b.js),
	}, Letters: letterapi.API{Letters: bus.NewDeadLetters(b.js, b.streams), Log: cfg.Log}}
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
