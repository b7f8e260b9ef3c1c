package dialect

import (
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

// StatusRow is what the HTTP statuses First to Last mean when the dialect does not call them good.
type StatusRow struct {
	First, Last int
	Kind        fault.Kind
	Meaning     string // for the bot's builder
}

// StatusTable is the one table from which every dialect's failures are named; the first row that fits counts. Package fault
// decides which of them another attempt may follow.
var StatusTable = []StatusRow{
	{100, 199, fault.Status, "which is not a final answer"},
	{200, 299, fault.Status, "which this dialect does not take for success"},
	{300, 399, fault.Redirect, "and redirects are not followed: put the final address into the bot file"},
	{408, 408, fault.Status, "it gave up waiting for the request"},
	{410, 410, fault.Gone, "the endpoint does not exist any more"},
	{425, 425, fault.Status, "it wants the request later"},
	{429, 429, fault.RateLimited, "it gets too many requests"},
	{400, 499, fault.Status, "it refuses the request"},
	{500, 500, fault.Status, "it failed"},
	{502, 504, fault.Status, "it is not available"},
	{500, 599, fault.Status, "it failed in a way that another attempt does not resolve"},
}

// Classify names the failure that an answer with this status is; nil when the dialect calls the status good. retryAfter
// is the delay the endpoint asked for, 0 when it did not ask; it is kept where another attempt makes sense.
func Classify(d Dialect, status int, retryAfter time.Duration) *fault.Fault {
	if d.GoodStatus(status) {
		return nil
	}
	row := rowOf(status)
	f := fault.New(row.Kind, "the endpoint answered %d: %s", status, row.Meaning)
	f.Status = status
	if f.Retryable() {
		f.RetryAfter = max(retryAfter, 0)
	}
	return f
}

func rowOf(status int) StatusRow {
	for _, row := range StatusTable {
		if row.First <= status && status <= row.Last {
			return row
		}
	}
	return StatusRow{First: status, Last: status, Kind: fault.Status, Meaning: "which is not a valid HTTP status"}
}
