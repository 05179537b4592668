// SPDX-License-Identifier: GPL-3.0-or-later

// crictl is a client of the container runtime interface, with the commands of the well-known tool of that name which
// kubeadm calls and which a person needs to look at a node. It speaks runtime.v1alpha2, as the kubelet of 1.20 does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// version is set by the linker.
var version = "v0.0.0"

// A command works on the arguments that follow its name.
type command struct {
	names   []string
	usage   string
	summary string
	run     func(ctx context.Context, runtime *client, arguments []string) error
}

var commands = []command{
	{[]string{"info"}, "info", "Show whether the runtime and its network are ready", info},
	{[]string{"version"}, "version", "Show the runtime's name and version", runtimeVersion},
	{[]string{"images", "image", "img"}, "images [-q] [-o json] [NAME]", "List images", images},
	{[]string{"inspecti"}, "inspecti IMAGE...", "Show images", inspectImages},
	{[]string{"pull"}, "pull IMAGE", "Fetch an image", pull},
	{[]string{"rmi"}, "rmi IMAGE...", "Remove images", removeImages},
	{[]string{"pods"}, "pods [-q] [-o json] [--name N] [--namespace N] [--state S]", "List pods", pods},
	{[]string{"inspectp"}, "inspectp POD...", "Show pods", inspectPods},
	{[]string{"stopp"}, "stopp POD...", "Stop pods", stopPods},
	{[]string{"rmp"}, "rmp [-f] POD...", "Remove pods", removePods},
	{[]string{"ps"}, "ps [-a] [-q] [-o json] [--name N] [--pod ID] [--state S]", "List containers", containers},
	{[]string{"inspect"}, "inspect CONTAINER...", "Show containers", inspectContainers},
	{[]string{"stop"}, "stop [--timeout SECONDS] CONTAINER...", "Stop containers", stopContainers},
	{[]string{"rm"}, "rm [-f] CONTAINER...", "Remove containers", removeContainers},
	{[]string{"exec"}, "exec CONTAINER COMMAND...", "Run a command in a container, without a terminal", execute},
	{[]string{"logs"}, "logs [-f] [--tail LINES] CONTAINER", "Show what a container wrote", logs},
}

func main() {
	err := dispatch(os.Args[1:])
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "crictl:", err)
		os.Exit(1)
	}
}

func dispatch(arguments []string) error {
	settings, err := readSettings(configurationFile)
	if err != nil {
		return err
	}
	flags := pflag.NewFlagSet("crictl", pflag.ContinueOnError)
	flags.SetInterspersed(false)
	flags.Usage = func() { usage(flags) }
	flags.StringVarP(&settings.runtimeEndpoint, "runtime-endpoint", "r", settings.runtimeEndpoint, "socket of the runtime service")
	flags.StringVarP(&settings.imageEndpoint, "image-endpoint", "i", settings.imageEndpoint, "socket of the image service, if another")
	flags.DurationVarP(&settings.timeout, "timeout", "t", settings.timeout, "how long to wait for the runtime")
	flags.BoolP("debug", "D", false, "accepted and ignored")
	showVersion := flags.BoolP("version", "v", false, "show the version of this program")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *showVersion {
		fmt.Println("crictl version", version)
		return nil
	}
	if flags.NArg() == 0 {
		usage(flags)
		return nil
	}
	for _, command := range commands {
		for _, name := range command.names {
			if name == flags.Arg(0) {
				return connected(settings, command, flags.Args()[1:])
			}
		}
	}
	return fmt.Errorf("no command %q; `crictl --help` lists them", flags.Arg(0))
}

func connected(settings settings, command command, arguments []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), settings.timeout)
	defer cancel()
	runtime, err := connect(ctx, settings)
	if err != nil {
		return err
	}
	defer runtime.close()
	// A pull or a followed log lasts as long as it lasts; only the connection has a time limit.
	return command.run(context.Background(), runtime, arguments)
}

func usage(flags *pflag.FlagSet) {
	fmt.Printf("crictl %s: a client of the container runtime interface\n\nUsage: crictl [options] COMMAND\n\nCommands:\n", version)
	for _, command := range commands {
		fmt.Printf("  %-72s %s\n", command.usage, command.summary)
	}
	fmt.Printf("\nOptions:\n%s", flags.FlagUsages())
}

// age says how long ago something happened, in the unit that a person would choose.
func age(nanoseconds int64) string {
	elapsed := time.Since(time.Unix(0, nanoseconds))
	switch {
	case elapsed < 2*time.Minute:
		return fmt.Sprintf("%d seconds ago", int(elapsed.Seconds()))
	case elapsed < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(elapsed.Minutes()))
	case elapsed < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(elapsed.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(elapsed.Hours()/24))
	}
}

// short is an identifier as lists show it: without the digest's algorithm, 13 digits long.
func short(identifier string) string {
	identifier = strings.TrimPrefix(identifier, "sha256:")
	if len(identifier) > 13 {
		return identifier[:13]
	}
	return identifier
}
