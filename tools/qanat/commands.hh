// The commands of `qanat`, each a function of its arguments that prints and returns an exit status.
// They throw CommandError; main turns that into a message. docs/specifications/seams.md §8.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/qanat/places.hh"

namespace qanat::cli {

int show_status(const Options& options);
struct TopRequest {
  std::string every = "2s";
  bool once = false;
};
// Until interrupted, or once: boxes, paths, calls, pools.
int top(const Options& options, const TopRequest& request);
int list_nodes(const Options& options);
int list_tenants(const Options& options);
struct MatrixRequest {
  std::string from, to;  // empty: all
  std::string at, ago;   // empty: now
};
int show_matrix(const Options& options, const MatrixRequest& request);
int show_paths(const Options& options, const std::string& from, const std::string& to,
               const std::string& tier, bool planned);

struct InviteRequest {
  std::string node;
  bool relay = false;
  std::uint64_t ttl_s = 3600;
  std::vector<std::string> controllers;  // ADDRESS:PORT; empty: as the controller says
};
int invite_box(const Options& options, const InviteRequest& request);
struct JoinRequest {
  std::string invitation;
  std::vector<std::string>
      lines;             // PLANE=ADDRESS[:PORT]; empty: the one towards the controller, on the Internet
  std::string location;  // C-URL location labels
  std::string config = "/etc/qanat/qanatd.toml";
  std::string state = "/var/lib/qanat/box";
  std::string socket = "/run/qanat/qanatd.sock";
  bool replace = false;
  bool no_start = false;
};
// Writes the configuration and the token, starts qanatd's service, waits for a configuration in force.
int join_box(const Options& options, const JoinRequest& request);

struct DoctorRequest {
  std::string node;            // of a lab; empty: this host's box
  std::string config;          // empty: the lab's, else /etc/qanat/qanatd.toml
  std::string gateway_socket;  // empty: the lab's, else /run/qanat/gateway.sock
};
// Names what is wrong with a box, and what to do; 1 when something is.
int doctor(const Options& options, const DoctorRequest& request);

// Keys anew. `wait`: until nobody is waited for, saying how far it is.
int rotate_node_key(const Options& options, const std::string& node);
int show_ca(const Options& options);
int rotate_ca(const Options& options, bool wait);
int advance_ca(const Options& options);
int show_network_key(const Options& options);
int rotate_network_key(const Options& options, bool wait);

// What operators want, who may say so, and what would be if.
struct ApplyRequest {
  std::string file;            // TOML or JSON; - is standard input
  std::uint64_t rollback = 0;  // a version instead of a file
  bool dry_run = false;
  std::string canary;         // who gets it first: "5%", "3" or names; empty: everybody at once
  std::string watch = "60s";  // how long they are watched
};
// With canaries: waits for what comes of it; 1: it was taken back.
int apply(const Options& options, const ApplyRequest& request);
int show_canary(const Options& options);
enum class CanaryEnd { Promote, Rollback };
int end_canary(const Options& options, CanaryEnd end);
// 0: what is in force.
int show_intent(const Options& options, std::uint64_t version);
int show_history(const Options& options);
int list_audit(const Options& options, std::uint64_t after);
// 1 where the chain is broken, or no line has the hash `expected` (empty: none is).
int verify_audit(const Options& options, const std::string& expected);
struct TokenCreate {
  std::string name;
  std::string role = "viewer";
  std::string tenant;
  std::uint64_t ttl_s = 0;  // 0: for ever
};
int create_token(const Options& options, const TokenCreate& request);
int list_tokens(const Options& options);
int revoke_token(const Options& options, const std::string& id);
struct WhatIfRequest {
  std::vector<std::string> fail_nodes;
  std::vector<std::string> fail_risks;
  std::vector<std::string> fail_links;  // A,B[,PLANE]
  std::vector<std::uint32_t> fail_planes;
  std::vector<std::string> add_links;   // A,B,PLANE,RTT_MS[,LOSS_PERCENT]
  std::vector<std::string> prices;      // PLANE=MS
  std::vector<std::string> moves;       // FROM,TO,INSTEAD[,MBPS[,TIER]]
  std::vector<std::string> capacities;  // A,B,PLANE,MBPS
  std::string file;                     // the whole question instead, TOML or JSON
};
int what_if(const Options& options, const WhatIfRequest& request);

struct CaptureRequest {
  std::string node;
  std::string side = "clear";  // clear, sealed, both
  std::string filter;          // as tcpdump takes it
  std::string file;            // "-": standard output; empty: that, or a reader on a terminal
  std::string reader;          // tcpdump or tshark
  std::uint64_t count = 0;     // packets; 0: until Ctrl-C
};
int capture(const Options& options, const CaptureRequest& request);
int trace(const Options& options, const std::string& from, const std::string& to, const std::string& tier);

// What an application asks of the network at one box; a term that is not set is not asked.
struct SlaRequest {
  std::string node;  // the box that is asked
  std::string name;
  std::string to;    // a destination; empty: every one
  std::string tier;  // empty: interactive
  std::optional<double> latency_ms, jitter_ms, loss_pct, bandwidth_mbps, bytes, deadline_s;
};
int set_sla(const Options& options, const SlaRequest& request);
int list_slas(const Options& options, const std::string& node);
int delete_sla(const Options& options, const std::string& node, const std::string& name);
int show_traffic(const Options& options);                         // a domain controller's newest plan
int show_promises(const Options& options);                        // the controller's, to tenants
int watch_slas(const Options& options, const std::string& node);  // until Ctrl-C

int resolve(const Options& options, const std::string& c_url);
int explain(const Options& options, const std::string& call);

struct DialRequest {
  std::string c_url;
  std::string prompt;  // "-": standard input
  int max_tokens = 0;  // 0: the model's own end
};
int dial(const Options& options, const DialRequest& request);

// Bytes to any service. Without a command: standard input and output. With one: its exit status.
struct TunnelRequest {
  std::string c_url;
  std::string proxy = "127.0.0.1:1080";
  std::vector<std::string> command;  // "{}" stands for the address of this host that reaches the service
};
int tunnel(const Options& options, const TunnelRequest& request);

struct PublishRequest {
  std::string c_url;
  int port = 0;
  bool udp = false;
  std::vector<std::string> backends, tenants;
};
int publish(const Options& options, const PublishRequest& request);
int withdraw(const Options& options, const PublishRequest& request);
int list_services(const Options& options);

int encode_c_url(const Options& options, const std::string& text);
int decode_c_url(const Options& options, const std::string& hex);
int parse_c_url(const Options& options, const std::string& text);
int canonical_c_url(const Options& options, const std::string& text);
// offer: a C-URL that describes one instance. 0: it meets the request; 1: it does not, and the clause is printed.
int match_c_url(const Options& options, const std::string& request, const std::string& offer);

}  // namespace qanat::cli
