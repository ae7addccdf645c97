// Takes labs down, whatever state they are in: processes, namespaces, files. Safe to repeat.
#pragma once

#include <string>
#include <vector>

#include "tools/lab/state.hh"

namespace qanat::lab {

// Ends every process of the lab and every process inside its namespaces, removes namespaces and the lab's folder.
void tear_down(LabState& state);
// Labs whose owner or links are gone, folders without a readable state, namespaces `ql<pid>-…` of dead owners.
// Returns what was removed, one line each.
std::vector<std::string> collect_garbage();

}  // namespace qanat::lab
