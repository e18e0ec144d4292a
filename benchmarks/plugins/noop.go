// A plugin that does nothing, as plugins are written in Go: with the skeleton of the CNI project.
package main

import (
	"net"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

func main() {
	skel.PluginMain(add, nothing, nothing, version.All, "a plugin that does nothing")
}

func add(*skel.CmdArgs) error {
	address := net.IPNet{IP: net.IPv4(192, 0, 2, 7), Mask: net.CIDRMask(24, 32)}
	result := &current.Result{CNIVersion: "1.0.0", IPs: []*current.IPConfig{{Address: address}}}
	return types.PrintResult(result, "1.0.0")
}

func nothing(*skel.CmdArgs) error { return nil }
