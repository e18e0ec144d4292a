#!/bin/sh
# A plugin that does nothing, as people write one by hand.
cat >/dev/null
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.7/24"}]}'
