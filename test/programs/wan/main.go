// wan is a long way between two network interfaces: it makes two TUN devices, and what is sent into one comes out of the
// other later, or not at all. Whoever starts it moves the devices into two namespaces and gives them addresses.
//
//	wan -devices a,b [-delay 25ms] [-loss 0.001] [-queue 20000]
//
// It writes "ready" when the devices are there; they go when it ends. It ends with its standard input.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	tunDevice     = "/dev/net/tun"
	setInterface  = 0x400454ca   // TUNSETIFF
	wholePackets  = 0x1 | 0x1000 // IFF_TUN | IFF_NO_PI
	largestPacket = 65536
)

type packet struct {
	due   time.Time
	bytes []byte
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("wan: ")
	names := flag.String("devices", "", "names of the two devices, separated by a comma")
	delay := flag.Duration("delay", 0, "time that a packet takes, each way")
	loss := flag.Float64("loss", 0, "share of packets that get lost, from 0 to 1")
	queue := flag.Int("queue", 20_000, "most packets on the way, each way; more are dropped, as a router does")
	flag.Parse()
	first, second, two := strings.Cut(*names, ",")
	if !two || *loss < 0 || *loss > 1 || *queue < 1 {
		log.Fatal("expected two names with -devices, -loss from 0 to 1 and -queue over 0")
	}
	a, b := openDevice(first), openDevice(second)
	go carry(a, b, *delay, *loss, *queue)
	go carry(b, a, *delay, *loss, *queue)
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

// openDevice makes a TUN device that lasts until the process ends. It follows its file into another namespace.
func openDevice(name string) *os.File {
	descriptor, err := syscall.Open(tunDevice, syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		log.Fatalf("cannot open %s: %v", tunDevice, err)
	}
	var request struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:syscall.IFNAMSIZ-1], name)
	request.flags = wholePackets
	_, _, failure := syscall.Syscall(syscall.SYS_IOCTL, uintptr(descriptor), setInterface, uintptr(unsafe.Pointer(&request)))
	if failure != 0 {
		log.Fatalf("cannot make the device %s: %v", name, failure)
	}
	return os.NewFile(uintptr(descriptor), name)
}

// carry passes packets on, in order, each as much later as it takes. A device that is down takes none, and that is no end.
func carry(from, to *os.File, delay time.Duration, loss float64, queue int) {
	onTheWay := make(chan packet, queue)
	go func() {
		for one := range onTheWay {
			time.Sleep(time.Until(one.due))
			to.Write(one.bytes)
		}
	}()
	buffer := make([]byte, largestPacket)
	for {
		length, err := from.Read(buffer)
		if err != nil {
			log.Fatalf("cannot read from %s: %v", from.Name(), err)
		}
		if loss > 0 && rand.Float64() < loss {
			continue
		}
		select {
		case onTheWay <- packet{time.Now().Add(delay), append([]byte(nil), buffer[:length]...)}:
		default:
		}
	}
}
