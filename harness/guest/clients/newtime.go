// SPDX-License-Identifier: GPL-2.0

// Runs a command in a new time namespace:
//
//	newtime clone COMMAND...                          by Cloneflags
//	newtime unshare COMMAND...                        by Unshareflags
//	newtime offsets MONOTONIC BOOTTIME COMMAND...     with offsets, in seconds
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// unshare creates a namespace for the children of this thread. It must be the main thread, because
// /proc/self is that thread.
func unshare(monotonic, boottime string) error {
	if err := syscall.Unshare(syscall.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	offsets := fmt.Sprintf("monotonic %s 0\nboottime %s 0\n", monotonic, boottime)
	return os.WriteFile("/proc/self/timens_offsets", []byte(offsets), 0)
}

func run(arguments []string) error {
	attributes := &syscall.SysProcAttr{}
	switch {
	case len(arguments) > 1 && arguments[0] == "clone":
		attributes.Cloneflags = syscall.CLONE_NEWTIME
		arguments = arguments[1:]
	case len(arguments) > 1 && arguments[0] == "unshare":
		attributes.Unshareflags = syscall.CLONE_NEWTIME
		arguments = arguments[1:]
	case len(arguments) > 3 && arguments[0] == "offsets":
		if err := unshare(arguments[1], arguments[2]); err != nil {
			return err
		}
		arguments = arguments[3:]
	default:
		return fmt.Errorf("usage: newtime clone|unshare|offsets MONOTONIC BOOTTIME COMMAND...")
	}
	command := exec.Command(arguments[0], arguments[1:]...)
	command.SysProcAttr = attributes
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}

func init() {
	runtime.LockOSThread()
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "newtime:", err)
		os.Exit(1)
	}
}
