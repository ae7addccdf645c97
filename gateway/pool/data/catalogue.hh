// Catalogue: the cards and models that this build knows, read from data/*.toml (embedded at build time).
// Adding a card is adding a file; a folder of further files can be given at run time.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/pool/engine/card.hh"

namespace qanat::pool {

struct Catalogue {
  std::map<std::string, Card, std::less<>> cards;    // by name, as written in the file ("H20")
  std::map<std::string, Model, std::less<>> models;  // by name ("deepseek-r1-distill-qwen-32b")

  // Names ignore case; nullptr when unknown.
  const Card* card(std::string_view name) const;
  const Model* model(std::string_view name) const;
};

// The embedded data. Aborts if a file of ours does not parse: a test keeps that from shipping.
const Catalogue& built_in();

// Parses one card or model file into the catalogue. Returns the problems, each "FILE: key: what was wrong,
// what was expected"; empty when it was taken. Unknown keys are problems.
std::vector<std::string> add_card(Catalogue& catalogue, std::string_view file, std::string_view toml);
std::vector<std::string> add_model(Catalogue& catalogue, std::string_view file, std::string_view toml);

// A data file as embedded: `name` is its path below data/.
struct DataFile {
  std::string_view name;
  std::string_view text;
};
extern const DataFile kDataFiles[];
extern const std::size_t kDataFileCount;

}  // namespace qanat::pool
