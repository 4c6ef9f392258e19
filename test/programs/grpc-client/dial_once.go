package main

import (
	"context"
	"net"

	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
)

// dialOnce makes a gRPC connection for each dial, as kube-apiserver does up to v1.36.
func dialOnce(to frontend) dialer {
	return func(ctx context.Context, target string) (net.Conn, error) {
		tunnel, err := client.CreateSingleUseGrpcTunnelWithContext(ctx, context.Background(), to.address, to.options...)
		if err != nil {
			return nil, err
		}
		return tunnel.DialContext(ctx, "tcp", target)
	}
}
