// Adds, or deletes, one attachment with libcni, as a runtime's shortest program would.
// usage: cold add|del CONFLIST PLUGIN_DIR CACHE_DIR CONTAINER_ID NETNS
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/containernetworking/cni/libcni"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	list, err := libcni.ConfListFromFile(args[1])
	if err != nil {
		return err
	}
	runtime := &libcni.RuntimeConf{ContainerID: args[4], NetNS: args[5], IfName: "eth0"}
	config := libcni.NewCNIConfigWithCacheDir([]string{args[2]}, args[3], nil)
	if args[0] == "del" {
		return config.DelNetworkList(context.Background(), list, runtime)
	}
	result, err := config.AddNetworkList(context.Background(), list, runtime)
	if err != nil {
		return err
	}
	return result.Print()
}
