package schemas

// Headers that a dead letter carries beside those of the original message; its payload is the original one, byte for
// byte (contract, section 2.5).
const (
	HeaderReason     = "Hookturn-Reason"     // an error code
	HeaderDetail     = "Hookturn-Detail"     // one line for the engine's developer, such as an InvalidError
	HeaderSubject    = "Hookturn-Subject"    // the subject that the message came on
	HeaderSequence   = "Hookturn-Sequence"   // its sequence in the event stream
	HeaderDeliveries = "Hookturn-Deliveries" // how often it was delivered
	HeaderTime       = "Hookturn-Time"       // when it became a dead letter, RFC 3339
)

// HeaderReplayed marks the event of a dead letter that was published again. Its value is the reason of the dead letter.
const HeaderReplayed = "Hookturn-Replayed"

// HeaderAgain marks an event that hookturn has published again because it may not have been stored before. Whether it was
// handled is looked up.
const HeaderAgain = "Hookturn-Again"

// DeadLetterHeaders lists the headers in the contract's order.
func DeadLetterHeaders() []string {
	return []string{HeaderReason, HeaderDetail, HeaderSubject, HeaderSequence, HeaderDeliveries, HeaderTime}
}
