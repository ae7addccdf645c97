# Writes OUTPUT, a C++ file that holds every card, model and profile below DATA as text. Called by the build with -P.
file(GLOB files RELATIVE ${DATA} ${DATA}/cards/*.toml ${DATA}/models/*.toml
     ${DATA}/profiles/*.toml)
list(SORT files)
set(entries "")
foreach(name IN LISTS files)
  file(READ ${DATA}/${name} text)
  string(APPEND entries "    {\"${name}\", R\"~~~(${text})~~~\"},\n")
endforeach()
list(LENGTH files count)
file(WRITE ${OUTPUT} "// Generated from gateway/pool/data by embed.cmake.
#include \"gateway/pool/data/catalogue.hh\"

namespace qanat::pool {

const DataFile kDataFiles[] = {
${entries}};
const std::size_t kDataFileCount = ${count};

}  // namespace qanat::pool
")
