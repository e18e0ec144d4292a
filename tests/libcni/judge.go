// Does with libcni what a runtime would: adds, checks and deletes one attachment, prints what the
// cache holds of it, or answers questions about many results or configurations.
//
// usage: judge add|check|del|validate|cached FLAGS, or judge convert|load < QUESTIONS > ANSWERS
//
// With -recorded, check and del take configuration and arguments from the cache, as CRI-O does; the
// file given with -list then only names the network. With -parsed, a plugin's error is printed as the
// object that libcni read.
//
// Questions and answers are JSON objects, one a line; bytes are base64. convert: what a plugin
// printed, and the version that was asked for. load: a file, and whether it is of a single plugin.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
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
	parsed       = flag.Bool("parsed", false, "print a plugin's error as the object that was read")
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
		var read *types.Error
		if *parsed && errors.As(err, &read) {
			_ = json.NewEncoder(os.Stderr).Encode(read)
		} else {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, verb string) error {
	switch verb {
	case "convert":
		return answerEach(convert)
	case "load":
		return answerEach(load)
	}
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
	case "validate":
		_, err := cni.ValidateNetworkList(ctx, list)
		return err
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

// answer is what libcni makes of a question: a value, or an error.
type answer struct {
	Value interface{} `json:"value,omitempty"`
	Error string      `json:"error,omitempty"`
}

// answerEach reads questions until there are no more.
func answerEach(respond func(*json.Decoder) (interface{}, error)) error {
	questions, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for questions.More() {
		given := answer{}
		value, err := respond(questions)
		if err != nil {
			given.Error = err.Error()
		} else {
			given.Value = value
		}
		if err := answers.Encode(given); err != nil {
			return err
		}
	}
	return nil
}

// printing is a plugin that prints the same whatever it is asked.
type printing struct {
	version.PluginDecoder
	printed []byte
}

func (p *printing) ExecPlugin(context.Context, string, []byte, []string) ([]byte, error) {
	return p.printed, nil
}

func (p *printing) FindInPath(plugin string, paths []string) (string, error) {
	return plugin, nil
}

// convert reads a result as that of a plugin is read, and converts it as that of a record is.
func convert(questions *json.Decoder) (value interface{}, err error) {
	question := struct {
		Printed []byte
		Version string
	}{}
	if err := questions.Decode(&question); err != nil {
		return nil, err
	}
	defer func() {
		if fatal := recover(); fatal != nil {
			err = fmt.Errorf("panic: %v", fatal)
		}
	}()
	config, err := json.Marshal(map[string]string{"cniVersion": question.Version})
	if err != nil {
		return nil, err
	}
	plugin := &printing{printed: question.Printed}
	result, err := invoke.ExecPluginWithResult(
		context.Background(), "plugin", config, &invoke.Args{}, plugin)
	if err != nil {
		return nil, err
	}
	converted, err := result.GetAsVersion(question.Version)
	if err != nil {
		return nil, err
	}
	text := bytes.Buffer{}
	err = converted.PrintTo(&text)
	return json.RawMessage(text.Bytes()), err
}

// loaded is what libcni makes of a configuration.
type loaded struct {
	Name         string         `json:"name"`
	CNIVersion   string         `json:"cniVersion"`
	DisableCheck bool           `json:"disableCheck"`
	Plugins      []loadedPlugin `json:"plugins"`
}

type loadedPlugin struct {
	Type         string          `json:"type"`
	Capabilities map[string]bool `json:"capabilities"`
	Config       json.RawMessage `json:"config"`
}

// load reads a configuration as one of a directory is read.
func load(questions *json.Decoder) (interface{}, error) {
	question := struct {
		Document []byte
		Single   bool
	}{}
	if err := questions.Decode(&question); err != nil {
		return nil, err
	}
	list, err := loadList(question.Document, question.Single)
	if err != nil {
		return nil, err
	}
	made := loaded{Name: list.Name, CNIVersion: list.CNIVersion, DisableCheck: list.DisableCheck}
	for _, plugin := range list.Plugins {
		made.Plugins = append(made.Plugins, loadedPlugin{
			plugin.Network.Type, plugin.Network.Capabilities, plugin.Bytes})
	}
	return made, nil
}

func loadList(document []byte, single bool) (*libcni.NetworkConfigList, error) {
	if !single {
		return libcni.ConfListFromBytes(document)
	}
	config, err := libcni.ConfFromBytes(document)
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(config)
}
