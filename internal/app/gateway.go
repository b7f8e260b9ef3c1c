package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/gateway"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/socket"
	"github.com/hookturn/hookturn/internal/store"
)

// validate returns all problems.
func (g Gateway) validate() error {
	var problems []error
	if (g.Certificate == "") != (g.Key == "") {
		problems = append(problems, errors.New(
			"gateway: certificate and key belong together: set --gateway-cert and --gateway-key"))
	}
	if _, err := g.proxies(); err != nil {
		problems = append(problems, err)
	}
	for _, origin := range g.Origins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Host == "" || u.Path != "" || u.Scheme != "https" && u.Scheme != "http") {
			problems = append(problems, fmt.Errorf("invalid gateway origin %q: expected one such as https://app.example", origin))
		}
	}
	return errors.Join(problems...)
}

func (g Gateway) proxies() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range g.Proxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("invalid gateway proxy %q: expected a CIDR such as 10.0.0.0/8", text)
		}
		list = append(list, prefix.Masked())
	}
	return list, nil
}

// fileLinks returns the links to files on the gateway.
func fileLinks(cfg Config, signer *signedurl.Signer) gateway.Links {
	return gateway.Links{Signer: signer, Gateway: cfg.GatewayURL}
}

// gatewayOptions returns the options of the gateway.
func gatewayOptions(ctx context.Context, cfg Config, b *base) (gateway.Options, error) {
	callbacks, err := openSigner(ctx, b, purposeCallback, signedurl.NewKey, cfg.Log)
	if err != nil {
		return gateway.Options{}, err
	}
	links, err := openSigner(ctx, b, purposeFileLink, signedurl.NewKey, cfg.Log)
	if err != nil {
		return gateway.Options{}, err
	}
	proxies, err := cfg.Gateway.proxies()
	if err != nil {
		return gateway.Options{}, err
	}
	scripts := &gateway.Scripts{Bots: b.bots, Temporal: b.temporal, Bare: pubsub.New(b.js), Log: cfg.Log}
	sockets := &socket.Hub{
		Scripts: scripts, Bus: pubsub.New(b.js), Claims: store.NewClaims(b.streams), Site: b.namespace, Log: cfg.Log,
		Count: cfg.Metrics,
	}
	if err := sockets.Start(); err != nil {
		return gateway.Options{}, err
	}
	o := gateway.Options{
		Bots: b.bots, Bus: bus.NewPublisher(b.js), Posted: store.NewPosted(b.streams), Chats: store.NewChats(b.js, b.streams),
		Channels: b.channels, Scripts: scripts, Sockets: sockets, Callbacks: callbacks,
		Engines: &gateway.Engines{Replies: bus.NewReplies(b.streams), Letters: letters(cfg, b)},
		Files:   store.NewFiles(b.streams), Links: fileLinks(cfg, links), Temporal: b.temporal,
		TenantRequests: cfg.Gateway.TenantRequests, EventShares: b.streams.EventQuota(),
		Proxies: proxies, Origins: cfg.Gateway.Origins, Log: cfg.Log, Metrics: cfg.Metrics,
	}
	if cfg.Gateway.EventTokens != "" {
		if o.EventTokens, err = gateway.ReadEventTokens(cfg.Gateway.EventTokens, cfg.Log); err != nil {
			return gateway.Options{}, err
		}
	}
	if cfg.Gateway.Certificate != "" {
		if o.TLS, err = gateway.ReadCertificate(cfg.Gateway.Certificate, cfg.Gateway.Key, cfg.Log); err != nil {
			return gateway.Options{}, err
		}
	}
	return o, nil
}
