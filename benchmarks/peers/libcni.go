// Adds and deletes through libcni or go-cni, as the order in its argument says; a JSON line for each phase, as every peer prints it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	gocni "github.com/containerd/go-cni"
	"github.com/containernetworking/cni/libcni"
)

type order struct {
	Peer       string   `json:"peer"`
	Work       string   `json:"work"`
	Count      int      `json:"count"`
	AtOnce     int      `json:"at_once"`
	WarmUp     int      `json:"warm_up"`
	Chain      string   `json:"chain"`
	PluginDirs []string `json:"plugin_dirs"`
	State      string   `json:"state"`
	Netns      []string `json:"netns"`
}

type runtime struct {
	add, del func(id, netns, ifname string) error
}

func need(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	var given order
	need(json.Unmarshal([]byte(os.Args[1]), &given))
	chain, err := os.ReadFile(given.Chain)
	need(err)
	peer := map[string]func(order, []byte) runtime{
		"libcni":         func(o order, chain []byte) runtime { return overLibcni(o, chain, false) },
		"libcni + fsync": func(o order, chain []byte) runtime { return overLibcni(o, chain, true) },
		"go-cni":         overGoCNI,
	}[given.Peer](given, chain)
	threads := status("Threads")
	given.run("", given.WarmUp, "warm", peer.add)
	given.run("", given.WarmUp, "warm", peer.del)
	if given.Work == "hold" {
		given.hold(peer, threads)
		return
	}
	given.run("add", given.Count, "box", peer.add)
	given.run("delete", given.Count, "box", peer.del)
}

// With fsync an attachment survives a power cut as it does with acni: its cache file, and the name of that.
func overLibcni(given order, chain []byte, syncs bool) runtime {
	list, err := libcni.ConfListFromBytes(chain)
	need(err)
	config := libcni.NewCNIConfigWithCacheDir(given.PluginDirs, given.State, nil)
	results := filepath.Join(given.State, "results")
	conf := func(id, netns, ifname string) *libcni.RuntimeConf {
		args := [][2]string{
			{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"},
			{"K8S_POD_NAME", id}, {"K8S_POD_INFRA_CONTAINER_ID", id},
		}
		return &libcni.RuntimeConf{ContainerID: id, NetNS: netns, IfName: ifname, Args: args}
	}
	add := func(id, netns, ifname string) error {
		_, err := config.AddNetworkList(context.Background(), list, conf(id, netns, ifname))
		if err == nil && syncs {
			fsync(filepath.Join(results, list.Name+"-"+id+"-"+ifname))
			fsync(results)
		}
		return err
	}
	del := func(id, netns, ifname string) error {
		err := config.DelNetworkList(context.Background(), list, conf(id, netns, ifname))
		if err == nil && syncs {
			fsync(results)
		}
		return err
	}
	return runtime{add, del}
}

func fsync(path string) {
	file, err := os.Open(path)
	need(err)
	need(file.Sync())
	need(file.Close())
}

// go-cni names interfaces itself, and keeps its cache where libcni does by default.
func overGoCNI(given order, chain []byte) runtime {
	confDir := filepath.Join(given.State, "conf")
	need(os.MkdirAll(confDir, 0o755))
	need(os.WriteFile(filepath.Join(confDir, "10-net.conflist"), chain, 0o644))
	library, err := gocni.New(
		gocni.WithMinNetworkCount(1), gocni.WithPluginConfDir(confDir),
		gocni.WithPluginDir(given.PluginDirs), gocni.WithInterfacePrefix("eth"),
	)
	need(err)
	need(library.Load(gocni.WithDefaultConf))
	labels := func(id string) gocni.NamespaceOpts {
		return gocni.WithLabels(map[string]string{
			"IgnoreUnknown": "1", "K8S_POD_NAMESPACE": "default",
			"K8S_POD_NAME": id, "K8S_POD_INFRA_CONTAINER_ID": id,
		})
	}
	add := func(id, netns, _ string) error {
		_, err := library.Setup(context.Background(), id, netns, labels(id))
		return err
	}
	del := func(id, netns, _ string) error {
		return library.Remove(context.Background(), id, netns, labels(id))
	}
	return runtime{add, del}
}

func (given order) run(phase string, count int, prefix string, do func(id, netns, ifname string) error) {
	took := make([]float64, count)
	numbers := make(chan int)
	var workers sync.WaitGroup
	own, children, begun := cpu(syscall.RUSAGE_SELF), cpu(syscall.RUSAGE_CHILDREN), time.Now()
	for worker := 0; worker < given.AtOnce; worker++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for number := range numbers {
				id := fmt.Sprintf("%s%061d", prefix, number)
				netns := given.Netns[number%len(given.Netns)]
				ifname := fmt.Sprintf("eth%d", number/len(given.Netns))
				started := time.Now()
				need(do(id, netns, ifname))
				took[number] = micros(time.Since(started))
			}
		}()
	}
	for number := 0; number < count; number++ {
		numbers <- number
	}
	close(numbers)
	workers.Wait()
	wall := time.Since(begun)
	own, children = cpu(syscall.RUSAGE_SELF)-own, cpu(syscall.RUSAGE_CHILDREN)-children
	if phase == "" {
		return
	}
	sort.Float64s(took)
	line, err := json.Marshal(map[string]any{
		"phase": phase, "ops": float64(count) / wall.Seconds(),
		"own_us": own / float64(count), "children_us": children / float64(count),
		"p50_us": took[(count-1)*50/100], "p99_us": took[(count-1)*99/100], "max_us": took[count-1],
		"took_us": took, "peak_kib": status("VmHWM"), "threads": status("Threads"),
		"descriptors": descriptors(),
	})
	need(err)
	fmt.Println(string(line))
}

// What each of many ADDs needs while its plugin takes its time, and threads beside those before the first.
func (given order) hold(peer runtime, threads int) {
	memory, files := status("VmRSS"), descriptors()
	ended := make(chan bool)
	go func() {
		given.run("", given.Count, "box", peer.add)
		ended <- true
	}()
	most, mostThreads, each, filesEach := 0, 0, 0.0, 0.0
	for {
		select {
		case <-ended:
			given.run("", given.Count, "box", peer.del)
			line, err := json.Marshal(map[string]any{
				"phase": "hold", "held": most, "kib_each": each, "threads_more": mostThreads,
				"descriptors_each": filesEach, "peak_kib": status("VmHWM"),
			})
			need(err)
			fmt.Println(string(line))
			return
		case <-time.After(100 * time.Millisecond):
			mostThreads = max(mostThreads, status("Threads")-threads)
			if running := children(); running > 0 && running >= most {
				most = running
				each = float64(status("VmRSS")-memory) / float64(running)
				filesEach = float64(descriptors()-files) / float64(running)
			}
		}
	}
}

// The processes that are ours, whichever thread started them.
func children() int {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	need(err)
	count := 0
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread may end meanwhile
		count += len(strings.Fields(string(text)))
	}
	return count
}

func descriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	need(err)
	return len(names) - 1
}

func micros(duration time.Duration) float64 { return float64(duration.Nanoseconds()) / 1e3 }

func cpu(who int) float64 {
	var usage syscall.Rusage
	need(syscall.Getrusage(who, &usage))
	return float64(usage.Utime.Sec+usage.Stime.Sec)*1e6 + float64(usage.Utime.Usec+usage.Stime.Usec)
}

func status(name string) int {
	text, err := os.ReadFile("/proc/self/status")
	need(err)
	for _, line := range strings.Split(string(text), "\n") {
		if value, found := strings.CutPrefix(line, name+":"); found {
			number := 0
			fmt.Sscan(value, &number)
			return number
		}
	}
	return 0
}
