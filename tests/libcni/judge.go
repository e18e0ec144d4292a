// Does with libcni what a runtime would: adds, checks and deletes one attachment, or prints what the
// cache holds of it.
//
// usage: judge add|check|del|cached FLAGS
//
// With -recorded, check and del take configuration and arguments from the cache, as CRI-O does; the
// file given with -list then only names the network.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

var (
	listFile     = flag.String("list", "", "the file of the network configuration list")
	pluginDir    = flag.String("plugins", "", "the directory of the plugins")
	cacheDir     = flag.String("cache", "", "the cache directory, a state directory of acni's")
	containerID  = flag.String("id", "", "CNI_CONTAINERID")
	netns        = flag.String("netns", "", "CNI_NETNS")
	ifName       = flag.String("ifname", "eth0", "CNI_IFNAME")
	cniArgs      = flag.String("args", "", "CNI_ARGS: K=V;K=V")
	capabilities = flag.String("capabilities", "{}", "the capability arguments: a JSON object")
	recorded     = flag.Bool("recorded", false, "configuration and arguments are the cache's")
)

// cached is what the cache holds of an attachment.
type cached struct {
	Result         types.Result           `json:"result"`
	Config         string                 `json:"config"`
	Args           [][2]string            `json:"args"`
	CapabilityArgs map[string]interface{} `json:"capabilityArgs"`
}

func main() {
	verb := os.Args[1]
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		os.Exit(2)
	}
	if err := run(context.Background(), verb); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, verb string) error {
	list, err := libcni.ConfListFromFile(*listFile)
	if err != nil {
		return err
	}
	runtime := &libcni.RuntimeConf{ContainerID: *containerID, NetNS: *netns, IfName: *ifName}
	if err := json.Unmarshal([]byte(*capabilities), &runtime.CapabilityArgs); err != nil {
		return err
	}
	for _, pair := range strings.Split(*cniArgs, ";") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			runtime.Args = append(runtime.Args, [2]string{key, value})
		}
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{*pluginDir}, *cacheDir, nil)
	if *recorded {
		if list, runtime, err = fromCache(cni, list, runtime); err != nil {
			return err
		}
	}
	switch verb {
	case "add":
		result, err := cni.AddNetworkList(ctx, list, runtime)
		if err != nil {
			return err
		}
		return result.Print()
	case "check":
		return cni.CheckNetworkList(ctx, list, runtime)
	case "del":
		return cni.DelNetworkList(ctx, list, runtime)
	case "cached":
		return printCached(cni, list, runtime)
	}
	return fmt.Errorf("no such verb: %s", verb)
}

func fromCache(
	cni *libcni.CNIConfig, list *libcni.NetworkConfigList, runtime *libcni.RuntimeConf,
) (*libcni.NetworkConfigList, *libcni.RuntimeConf, error) {
	config, runtime, err := cni.GetNetworkListCachedConfig(list, runtime)
	if err != nil {
		return nil, nil, err
	}
	if config == nil {
		return nil, nil, fmt.Errorf("the cache does not know it")
	}
	list, err = libcni.ConfListFromBytes(config)
	return list, runtime, err
}

func printCached(
	cni *libcni.CNIConfig, list *libcni.NetworkConfigList, runtime *libcni.RuntimeConf,
) error {
	result, err := cni.GetNetworkListCachedResult(list, runtime)
	if err != nil {
		return err
	}
	config, found, err := cni.GetNetworkListCachedConfig(list, runtime)
	if err != nil {
		return err
	}
	if config == nil {
		return fmt.Errorf("the cache does not know it")
	}
	return json.NewEncoder(os.Stdout).Encode(
		cached{result, string(config), found.Args, found.CapabilityArgs})
}
