/**
 * An agent whose token was exchanged shows the new one on the connection that it has, which then lives as long as that: `POST` to this path on its HTTP/2
 * connection, the token in `authorization`, as when it came. Source: docs/protocol.md section 13.
 */
export const NEW_TOKEN_PATH = '/culvert/NewToken'
