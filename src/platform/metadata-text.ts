/**
 * Text that arrives as it was sent in gRPC metadata: printable ASCII, no space at its ends. Of anything else HTTP/2 loses the
 * whole entry, without a word to either side. Source: gRPC over HTTP/2, "Custom-Metadata".
 */
export const isMetadataText = (text: string): boolean => /^(?:[!-~](?:[ -~]*[!-~])?)?$/.test(text)
