// Package dialects lists the dialects of this release. It is the one place in which a new dialect is registered.
package dialects

import (
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/dialect/haptik"
	"github.com/hookturn/hookturn/internal/dialect/loyjoy"
	"github.com/hookturn/hookturn/internal/dialect/plain"
	"github.com/hookturn/hookturn/internal/dialect/twoway"
)

//go:generate go test -run ^TestGenerated -update .

// New returns the dialects. Programs run the jq programs of the plain dialect; nil where no bot file has one.
func New(programs plain.Programs) dialect.Set {
	return dialect.New(haptik.New(), loyjoy.New(), twoway.New(), plain.New(programs))
}

// Specs returns what bot files know of the dialects.
func Specs() []bot.Spec { return New(nil).Specs() }
