//go:build !reuse

package main

import "errors"

func dialReusing(frontend) (dialer, error) {
	return nil, errors.New("the library of this release makes a connection for each dial: leave out --reuse")
}
