"""Operations that several tests use."""

REPLY = """
  id status content grounded failure rating
  citations { number title quote startOffset endOffset page score document { id content } }
  usage { provider model promptTokens completionTokens firstTokenMs totalMs }
"""
ASK = f"""
mutation Ask($i: SendMessageInput!) {{ ask(input: $i) {{ __typename
  ... on SendMessagePayload {{
    session {{ id title }} message {{ id content parent {{ id }} }} reply {{ {REPLY} }} }}
  ... on InvalidInput {{ problem: message field }}
  ... on NotFound {{ problem: message }} }} }}
"""
SEND = ASK.replace("Ask(", "Send(").replace("ask(", "sendMessage(")
EVENTS = f"""
  __typename seq replyId
  ... on ReplyStarted {{ session {{ id }} message {{ id content }} }}
  ... on SourcesFound {{
    hits {{ text headings startOffset endOffset page score document {{ id title }} }} }}
  ... on TextDelta {{ text }}
  ... on ReplyEnded {{ reply {{ {REPLY} }} }}
"""
CHAT = f"subscription Chat($i: SendMessageInput!) {{ chat(input: $i) {{ {EVENTS} }} }}"
FOLLOW = f"subscription Follow($id: ID!, $a: Int) {{ reply(id: $id, after: $a) {{ {EVENTS} }} }}"
STOP = f"""
mutation Stop($id: ID!) {{ stopReply(id: $id) {{ __typename
  ... on ChatMessage {{ {REPLY} }} ... on NotFound {{ problem: message }} }} }}
"""
HISTORY = """
query History($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  session(id: $id) { title messages(first: $first, after: $after, last: $last, before: $before) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { id role status content author { email } parent { id }
      citations { number } } } } } }
"""
SESSIONS = """
query Sessions($first: Int, $after: String, $last: Int, $before: String, $archived: Boolean) {
  sessions(first: $first, after: $after, last: $last, before: $before, archived: $archived) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { id title archived myRole participants { role user { email } } } } } }
"""
