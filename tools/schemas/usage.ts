// Type-checked against the code that is made from the schemas: the type of a message determines its data.
import type { EventOfABotEngine } from "./event";
import type { ReplyOfHookturn } from "./reply";

export const event: EventOfABotEngine = {
  specversion: "1.0",
  id: "e1",
  source: "/engines/shop-bot",
  type: "hookturn.step.requested",
  time: "2026-11-20T12:00:00Z",
  subject: "c-42",
  partitionkey: "an extension",
  data: { step: "ORDER_STATUS", entities: { otp: [{ entity_value: { value: "1234" } }] } },
};

export function stepOf(e: EventOfABotEngine): string {
  switch (e.type) {
    case "hookturn.step.requested":
      return e.data.step;
    case "hookturn.message.received":
      return e.data.message.type;
    case "hookturn.conversation.ended":
      return e.data.reason ?? "";
    default:
      return "";
  }
}

export function textOf(r: ReplyOfHookturn): string[] {
  if (r.type === "hookturn.step.waiting") return r.data.missing;
  if (r.type !== "hookturn.step.replied") return [];
  return r.data.messages.map((m) => (m.type === "text" ? m.text : m.type === "hsl" ? JSON.stringify(m.hsl) : ""));
}

export function wrong(e: EventOfABotEngine): void {
  if (e.type !== "hookturn.step.requested") return;
  // @ts-expect-error the name of a step is not a number
  const step: number = e.data.step;
  void step;
}
