function yes = has(env, name)
%HAS Whether an environment, an object or a struct, has a method, property or field of this name.
  if isstruct(env)
    yes = isfield(env, name);
  else
    yes = ismethod(env, name) || isprop(env, name);
  end
end
