// ValveStore: what valves and dispatches must not forget, in the gateway's own database: modes, plans, what was
// dispatched, and a line for each time that engines were held, with its card time and its price.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gateway/meter/store.hh"
#include "gateway/place/valve.hh"

namespace qanat::app {

// How far a placeholder's own counts have been taken into the books. `epoch`: of the pool's process; a new one counts from
// nothing.
struct PlaceholderMark {
  std::int64_t epoch = 0, card_ms = 0, charged_nano = 0;
};

// One time that a placeholder's engines were up: a line of the bill.
struct ValveUse {
  std::string placeholder, model, pool;
  std::int64_t began_unix_ms = 0, ended_unix_ms = 0;  // ended 0: not yet
  std::int64_t card_ms = 0, charged_nano = 0;
};

struct KeptValve {
  place::Valve::Kept valve;  // its plans' instants are of the clock `now` below
  std::vector<double> usual;
  std::map<std::string, PlaceholderMark> marks;
};

class ValveStore {
 public:
  ValveStore(meter::Store& store, std::string gateway) : store_(store), gateway_(std::move(gateway)) {}
  static void create(meter::Store& store);

  // `unix_ms` is the wall's time at `now`: plans keep their instants over a restart.
  void put(const std::string& model, const KeptValve& kept, base::Time now, std::int64_t unix_ms);
  std::map<std::string, KeptValve> load(base::Time now, std::int64_t unix_ms);

  // With the valve that it belongs to: a mark and what was counted up to it become durable together.
  void put(const ValveUse& use, const std::string& model, const KeptValve& kept, base::Time now,
           std::int64_t unix_ms);
  // Uses that were open when the gateway ended are over; what came since is in the next.
  void end_uses(std::int64_t unix_ms);
  // Latest first.
  std::vector<ValveUse> uses(std::size_t limit);

  // A dispatch is text here; an empty one is forgotten.
  void put_dispatch(const std::string& id, const std::string& json);
  std::map<std::string, std::string> dispatches();

 private:
  void write(const std::string& model, const KeptValve& kept, base::Time now, std::int64_t unix_ms);

  meter::Store& store_;
  std::string gateway_;
};

}  // namespace qanat::app
