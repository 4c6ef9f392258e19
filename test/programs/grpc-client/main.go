// grpc-client opens tunnels as kube-apiserver does in gRPC mode: with konnectivity's own client library, of the release
// that the go.mod file names. A test drives it over a Unix socket: each connection there sends one line with the address
// of a target, is answered "ok" or "error <text>", and then carries that target's bytes.
//
// The library knows no half close. When the test ends its side, the tunnel is closed, as kube-apiserver would, and what
// the target sends until the close is confirmed still comes; when the tunnel ends, both sides of the test's connection do.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// kube-apiserver's, for a connection to the frontend and for a dial through it.
	dialTimeout = 30 * time.Second
	// Longest line with an address, and longest wait for it.
	maxLine     = 1024
	lineTimeout = 10 * time.Second
	copyBytes   = 32 * 1024
)

// dialer opens a tunnel to the target.
type dialer func(ctx context.Context, target string) (net.Conn, error)

type frontend struct {
	address string
	options []grpc.DialOption
}

func main() {
	listen := flag.String("listen", "", "Unix socket on which the test connects")
	uds := flag.String("uds", "", "Unix socket of the frontend")
	address := flag.String("address", "", "host:port of the frontend, instead of --uds")
	ca := flag.String("ca", "", "CA of the frontend's certificate, PEM")
	cert := flag.String("cert", "", "certificate shown to the frontend, PEM")
	key := flag.String("key", "", "key of that certificate, PEM")
	reuse := flag.Bool("reuse", false, "one gRPC connection for all dials instead of one for each")
	flag.Parse()

	to, err := frontendOf(*uds, *address, *ca, *cert, *key)
	exitOn(err)
	dial := dialOnce(to)
	if *reuse {
		dial, err = dialReusing(to)
		exitOn(err)
	}
	listener, err := net.Listen("unix", *listen)
	exitOn(err)
	go endWithParent(listener)
	fmt.Println("listening")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go serve(conn.(*net.UnixConn), dial)
	}
}

func frontendOf(uds, address, ca, cert, key string) (frontend, error) {
	options := []grpc.DialOption{grpc.WithBlock(), grpc.WithReturnConnectionError()}
	if uds != "" {
		connect := func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", uds)
		}
		secrets := grpc.WithTransportCredentials(insecure.NewCredentials())
		return frontend{"passthrough:///frontend", append(options, grpc.WithContextDialer(connect), secrets)}, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return frontend{}, err
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return frontend{}, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return frontend{}, errors.New("no certificate in " + ca)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12}
	return frontend{address, append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))}, nil
}

func serve(test *net.UnixConn, dial dialer) {
	defer test.Close()
	test.SetReadDeadline(time.Now().Add(lineTimeout))
	reader := bufio.NewReaderSize(test, maxLine)
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return
	}
	target := string(line[:len(line)-1])
	test.SetReadDeadline(time.Time{})
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	tunnel, err := dial(ctx, target)
	if err != nil {
		fmt.Fprintf(test, "error %v\n", err)
		return
	}
	if _, err := test.Write([]byte("ok\n")); err != nil {
		tunnel.Close()
		return
	}
	go func() {
		_, err := io.CopyBuffer(onlyWriter{tunnel}, reader, make([]byte, copyBytes))
		tunnel.Close()
		if err != nil {
			// A tunnel that breaks right after its dial is never told so by the library: reads wait for ever, writes fail.
			test.Close()
		}
	}()
	io.CopyBuffer(onlyWriter{test}, tunnel, make([]byte, copyBytes))
	tunnel.Close() // a side that is still copied into the tunnel ends with the test's connection
}

// onlyWriter keeps io.Copy to the buffer that it was given.
type onlyWriter struct{ io.Writer }

// endWithParent holds the standard input, which the test never writes to: its end is the test's.
func endWithParent(listener net.Listener) {
	io.Copy(io.Discard, os.Stdin)
	listener.Close()
	os.Exit(0)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpc-client:", err)
		os.Exit(1)
	}
}
