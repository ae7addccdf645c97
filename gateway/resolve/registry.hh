// Registry: the pools this gateway knows, what it last heard of each, and what it has there itself.
// A target becomes one option per pool and model, excluded ones with their reason, ready for place::decide.
// Sans-I/O; poller.hh keeps it fresh.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hh"
#include "gateway/place/breaker.hh"
#include "gateway/place/decide.hh"
#include "gateway/place/pool_load.hh"
#include "gateway/place/trust.hh"
#include "gateway/resolve/target.hh"
#include "identifiers/descriptor/descriptor.hh"

namespace qanat::resolve {

struct PoolConfig {
  std::string url;   // "http://100.96.2.1:9000"
  std::string node;  // the box it stands behind; empty: no path metrics
  bool local = false;
};

// The overlay path to a pool's box.
struct Path {
  std::string text;   // "city>relay1>far1", empty: not known
  std::string plane;  // of its first hop: "private" or "internet"
  base::Duration rtt{};
  bool alive = true;
};

// What the valve says of one model at one pool.
struct Gate {
  enum class State : std::uint8_t { Shut, Asleep, Awake };
  State state = State::Shut;
  base::Time ready{};     // Awake: when it is taken to serve, if it does not yet
  base::Duration cold{};  // Asleep: from waking to serving
};

struct Pool {
  PoolConfig config;
  std::optional<descriptor::Descriptor> descriptor;
  base::Time asked{};     // when the last accepted sample was asked for
  base::Time received{};  // and received: its age counts from here
  base::Time tried{};     // the last poll, whatever came of it
  std::string error;      // of the last poll; empty: it went well
  Path path;
  base::Duration poll_rtt{};  // of the descriptor's request: stands in where no path is known
  place::PoolLoad load;
  place::Breaker breaker;
  place::Trust pace;       // of its predicted times per token
  std::string listed_as;   // the id that registries list it under; empty: it is configured
  bool withdrawn = false;  // no registry lists it any more: no further calls
  std::map<std::string, Gate, std::less<>> gates;  // by model; none: no valve speaks of it

  std::string name() const { return descriptor ? descriptor->id : config.url; }
  bool fresh(base::Time now) const;
  base::Duration rtt() const { return path.text.empty() ? poll_rtt : path.rtt; }
};

class Registry {
 public:
  // `site`: pools whose descriptor names it are local too. `poll_interval` bounds how old a sample usually is.
  Registry(std::vector<PoolConfig> pools, std::string site);

  std::size_t size() const { return pools_.size(); }
  Pool& pool(std::size_t index) { return pools_[index]; }
  const Pool& pool(std::size_t index) const { return pools_[index]; }
  bool local(const Pool& pool) const;
  // A pool that a registry lists, under its id: a new one, at the end, or the one that was at this URL before. Nothing where
  // the configuration names the URL itself. Indices and references stay good whatever is added.
  std::optional<std::size_t> follow(PoolConfig config, std::string id);
  void withdraw(std::size_t index) { pools_[index].withdrawn = true; }

  // A poll's answer. Older, Refused: what was known stays.
  enum class Heard : std::uint8_t {
    Newer,
    Same,   // the generation we have: only its age is new
    Older,  // a generation below the one we have
    Refused,  // well-formed, but with a price beyond meter::kMaxPriceNano, another pool's id, or not the id it is listed as
  };
  Heard on_descriptor(std::size_t index, descriptor::Descriptor descriptor, base::Time asked,
                      base::Time received);
  void on_poll_failed(std::size_t index, std::string error, base::Time now);
  void on_path(std::size_t index, Path path);

  // One option per pool and model that could be meant; pools nothing is known of appear as Unknown.
  std::vector<place::Option> options(const Target& target, const place::Demand& demand, base::Time now) const;

  // Every model that a pool offers for `service`, sorted, once each.
  struct Offered {
    std::string model;
    std::vector<std::string> pools;
    std::uint32_t max_context = 0;
  };
  std::vector<Offered> models(std::string_view service) const;
  // The largest context any known pool offers for the target's model; 0: none does.
  std::uint32_t max_context(const Target& target) const;

 private:
  place::Option option(const Target& target, std::size_t index, const descriptor::ServedModel& model,
                       const place::Demand& demand, base::Time now) const;

  std::deque<Pool> pools_;
  std::string site_;
};

}  // namespace qanat::resolve
