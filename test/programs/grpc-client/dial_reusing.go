//go:build reuse

package main

import (
	"context"
	"net"
	"sync"

	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client/metrics"
)

// dialReusing makes one gRPC connection for all dials, and another one when a dial says that it is of no use any more, as
// kube-apiserver does from v1.37 on. The old one is closed with all that is open on it.
func dialReusing(to frontend) (dialer, error) {
	var mutex sync.Mutex
	var current client.ReusableTunnel
	connection := func() (client.ReusableTunnel, error) {
		mutex.Lock()
		defer mutex.Unlock()
		if current != nil {
			return current, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		defer cancel()
		made, err := client.CreateGRPCTunnel(ctx, to.address, to.options...)
		current = made
		return made, err
	}
	forget := func(tunnel client.ReusableTunnel) {
		mutex.Lock()
		defer mutex.Unlock()
		if current == tunnel {
			current = nil
		}
		go tunnel.Close()
	}
	return func(ctx context.Context, target string) (net.Conn, error) {
		tunnel, err := connection()
		if err != nil {
			return nil, err
		}
		conn, err := tunnel.DialContext(ctx, "tcp", target)
		if err != nil {
			switch _, reason := client.GetDialFailureReason(err); reason {
			case metrics.DialFailureStreamSetup, metrics.DialFailureTunnelClosed:
				forget(tunnel)
			}
		}
		return conn, err
	}, nil
}
