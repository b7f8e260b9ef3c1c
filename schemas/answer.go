package schemas

// AnswerTypes returns the types of the replies that answer an event of a type under ids of its own: ReplyID of its
// conversation, its id and one of these types. The first one that is stored is the answer.
func AnswerTypes(eventType string) []string {
	switch eventType {
	case TypeEntitiesCollected:
		return []string{TypeStepWaiting, TypeStepReplied}
	case TypeConversationEnded:
		return []string{TypeConversationClosed, TypeStepReplied}
	}
	return []string{TypeStepReplied, TypeStepWaiting}
}

// AnswersWaiting reports whether an event of a type is usually answered by the reply to an earlier event: the one whose step
// waits for entities. That reply has the id of the earlier event in data.event_id, and there is none when no step waits.
func AnswersWaiting(eventType string) bool { return eventType == TypeEntitiesCollected }
