package servers

import enumspb "go.temporal.io/api/enums/v1"

// searchAttributes returns the attributes of a new namespace (contract, section 9.2). They are not added to an existing
// namespace: that is the task of `starter setup`.
func searchAttributes() map[string]enumspb.IndexedValueType {
	attributes := map[string]enumspb.IndexedValueType{"HookturnFailures": enumspb.INDEXED_VALUE_TYPE_INT}
	for _, name := range []string{
		"HookturnTenant", "HookturnBot", "HookturnConversation", "HookturnUser", "HookturnStep", "HookturnOutcome",
	} {
		attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	return attributes
}
