// Catalogue: the cards, models and scheduler profiles that are known: those embedded at build time (data/*.toml),
// and those of a folder given at run time. Adding one is adding a file.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/pool/engine/card.hh"
#include "gateway/pool/engine/profile.hh"

namespace qanat::pool {

struct Catalogue {
  std::map<std::string, Card, std::less<>> cards;    // by name, as written in the file ("H20")
  std::map<std::string, Model, std::less<>> models;  // by name ("deepseek-r1-distill-qwen-32b")

  std::map<std::string, Profile, std::less<>> profiles;  // by name ("vllm-0.8")

  // Names ignore case; nullptr when unknown.
  const Card* card(std::string_view name) const;
  const Model* model(std::string_view name) const;
  const Profile* profile(std::string_view name) const;
};

// The embedded data. Aborts if a file of ours does not parse: a test keeps that from shipping.
const Catalogue& built_in();

// Parses one card, model or profile file into the catalogue. Returns the problems, each "FILE: key: what was wrong,
// what was expected"; empty when it was taken. Unknown keys are problems.
std::vector<std::string> add_card(Catalogue& catalogue, std::string_view file, std::string_view toml);
std::vector<std::string> add_model(Catalogue& catalogue, std::string_view file, std::string_view toml);
std::vector<std::string> add_profile(Catalogue& catalogue, std::string_view file, std::string_view toml);

// Adds every cards/*.toml, models/*.toml and profiles/*.toml below `folder`, in order of their names. Returns all
// problems of all files. Throws std::system_error naming the folder when it cannot be read.
std::vector<std::string> add_folder(Catalogue& catalogue, const std::string& folder);

// A data file as embedded: `name` is its path below data/.
struct DataFile {
  std::string_view name;
  std::string_view text;
};
extern const DataFile kDataFiles[];
extern const std::size_t kDataFileCount;

}  // namespace qanat::pool
