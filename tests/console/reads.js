// Notes which leaves of GraphQL answers the page reads: answers become proxies that write down each path they are asked for.
(() => {
  const answers = [];
  const isNode = (value) => value !== null && typeof value === "object" && Object.keys(value).length > 0;

  function followed(value, path, read) {
    const known = new Map();
    return new Proxy(value, {
      get(target, key, receiver) {
        const found = Reflect.get(target, key, receiver);
        if (typeof key !== "string" || !Object.hasOwn(target, key)) return found;
        const inner = Array.isArray(target) ? `${path}[]` : path ? `${path}.${key}` : key;
        read.add(inner);
        if (!isNode(found)) return found;
        if (!known.has(key)) known.set(key, followed(found, inner, read));
        return known.get(key);
      },
    });
  }

  function leaves(value, path, all) {
    if (!isNode(value)) all.add(path);
    else if (Array.isArray(value)) for (const item of value) leaves(item, `${path}[]`, all);
    else for (const [key, inner] of Object.entries(value)) leaves(inner, path ? `${path}.${key}` : key, all);
    return all;
  }

  const json = Response.prototype.json;
  Response.prototype.json = async function () {
    const answer = await json.call(this);
    if (new URL(this.url).pathname !== "/graphql" || !isNode(answer?.data)) return answer;
    const read = new Set();
    answers.push({ all: leaves(answer.data, "", new Set()), read });
    return { ...answer, data: followed(answer.data, "", read) };
  };

  window.unreadLeaves = () => {
    if (answers.length === 0) throw new Error("the page read no answer by response.json()");
    return answers.flatMap(({ all, read }) => [...all].filter((path) => !read.has(path)));
  };
})();
