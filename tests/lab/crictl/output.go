// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/golang/protobuf/jsonpb"
	"github.com/golang/protobuf/proto"
	"github.com/spf13/pflag"
)

// listOptions are the flags that every listing command takes.
type listOptions struct {
	*pflag.FlagSet
	quiet  *bool
	output *string
}

func newListOptions(name string) listOptions {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	options := listOptions{
		FlagSet: flags,
		quiet:   flags.BoolP("quiet", "q", false, "show identifiers alone"),
		output:  flags.StringP("output", "o", "table", "table or json"),
	}
	flags.Bool("no-trunc", false, "accepted and ignored")
	return options
}

// show prints a list in the form asked for: identifiers, the runtime's own answer as JSON, or a table.
func (o listOptions) show(answer proto.Message, identifiers []string, header string, rows [][]string) error {
	if *o.quiet {
		for _, identifier := range identifiers {
			fmt.Println(identifier)
		}
		return nil
	}
	switch *o.output {
	case "json":
		return printMessage(answer)
	case "table", "":
		table := tabwriter.NewWriter(os.Stdout, 0, 8, 3, ' ', 0)
		fmt.Fprintln(table, strings.ReplaceAll(header, "|", "\t"))
		for _, row := range rows {
			fmt.Fprintln(table, strings.Join(row, "\t"))
		}
		return table.Flush()
	}
	return fmt.Errorf("output: found %q, wanted table or json", *o.output)
}

func printMessage(message proto.Message) error {
	text, err := marshal(message)
	if err != nil {
		return err
	}
	_, err = fmt.Println(text)
	return err
}

func marshal(message proto.Message) (string, error) {
	return (&jsonpb.Marshaler{EmitDefaults: true, Indent: "  "}).MarshalToString(message)
}

// printDetails prints a message under the name "status", beside what the runtime adds: values that are JSON themselves.
func printDetails(message proto.Message, additions map[string]string) error {
	text, err := marshal(message)
	if err != nil {
		return err
	}
	document := map[string]interface{}{"status": json.RawMessage(text)}
	for name, value := range additions {
		if json.Valid([]byte(value)) {
			document[name] = json.RawMessage(value)
		} else {
			document[name] = value
		}
	}
	encoded, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(encoded))
	return err
}
