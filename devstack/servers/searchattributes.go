package servers

import enumspb "go.temporal.io/api/enums/v1"

// searchAttributes are the attributes that a new namespace is born with (contract, section 9.2). On a namespace that
// exists already nothing is changed: adding what is missing there is the task of `starter setup`.
func searchAttributes() map[string]enumspb.IndexedValueType {
	attributes := map[string]enumspb.IndexedValueType{"HookturnFailures": enumspb.INDEXED_VALUE_TYPE_INT}
	for _, name := range []string{
		"HookturnTenant", "HookturnBot", "HookturnConversation", "HookturnUser", "HookturnStep", "HookturnOutcome",
	} {
		attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	return attributes
}
