// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
)

const pollInterval = 200 * time.Millisecond

func logs(ctx context.Context, runtime *client, arguments []string) error {
	flags := pflag.NewFlagSet("logs", pflag.ContinueOnError)
	follow := flags.BoolP("follow", "f", false, "go on while the container runs")
	lines := flags.Int("tail", -1, "how many of the last lines to show; -1 is all")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("logs: wanted one container")
	}
	identifier, err := findContainer(ctx, runtime, flags.Arg(0))
	if err != nil {
		return fmt.Errorf("container %s: %v", flags.Arg(0), err)
	}
	answer, err := runtime.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: identifier})
	if err != nil {
		return fmt.Errorf("container %s: %v", flags.Arg(0), err)
	}
	if answer.Status.LogPath == "" {
		return fmt.Errorf("container %s: has no log", flags.Arg(0))
	}
	file, err := os.Open(answer.Status.LogPath)
	if err != nil {
		return err
	}
	defer file.Close()
	reader := bufio.NewReader(file)
	var waiting []string
	partial := ""
	for {
		line, err := reader.ReadString('\n')
		partial += line
		if err == nil {
			waiting = append(waiting, partial)
			partial = ""
			if *lines >= 0 && len(waiting) > *lines {
				waiting = waiting[1:]
			}
			continue
		}
		if err != io.EOF {
			return err
		}
		for _, line := range waiting {
			writeLine(line)
		}
		waiting, *lines = nil, -1
		if !*follow || !running(ctx, runtime, identifier) {
			return nil
		}
		time.Sleep(pollInterval)
	}
}

func running(ctx context.Context, runtime *client, identifier string) bool {
	answer, err := runtime.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: identifier})
	return err == nil && answer.Status.State == cri.ContainerState_CONTAINER_RUNNING
}

// writeLine prints one record of a CRI log: time, stream, P (partial line) or F (full line), text.
func writeLine(record string) {
	fields := strings.SplitN(record, " ", 4)
	if len(fields) < 4 {
		return
	}
	text := fields[3]
	if fields[2] == "P" {
		text = strings.TrimSuffix(text, "\n")
	}
	if fields[1] == "stderr" {
		fmt.Fprint(os.Stderr, text)
	} else {
		fmt.Fprint(os.Stdout, text)
	}
}
