/** Series of proxy-server that several tests look at, as its metrics write them. */
export const violation = (kind: string): string => `culvert_server_violations_total{kind="${kind}"}`
export const refusal = (why: string): string => `culvert_server_refused_agents_total{why="${why}"}`
export const streamEnd = (how: string): string => `culvert_server_agent_stream_ends_total{how="${how}"}`
export const forced = (reason: string): string => `culvert_server_forced_closes_total{reason="${reason}"}`
export const refusedHead = (why: string): string => `culvert_server_refused_heads_total{why="${why}"}`
export const failedHandshake = (port: 'agent' | 'frontend', why: string): string =>
  `culvert_server_failed_handshakes_total{port="${port}",why="${why}"}`
