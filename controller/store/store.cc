#include "controller/store/store.hh"

#include <cstdlib>

#include "base/log.hh"

namespace qanat::store {

// Reached by an exception too: what was done until then stands in memory, and goes to the store.
Batch::~Batch() {
  try {
    store_.end_batch();
  } catch (const StoreError& error) {
    base::log_error("{}: what was changed is not in the store; this process ends", error.what());
    std::abort();
  }
}

}  // namespace qanat::store
