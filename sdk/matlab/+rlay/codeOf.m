function code = codeOf(err)
%CODEOF The code of RLay (section 11 of docs/wire.md) that an error's identifier stands for.
%   Without one it is 9, an error of the environment.
  names = {'rlay:usage', 'rlay:large', 'rlay:closed', 'rlay:busy', 'rlay:address', 'rlay:incompatible', ...
    'rlay:protocol', 'rlay:lost', 'rlay:unauthorized'};
  codes = [1 1 4 5 6 7 8 10 13];
  known = strcmp(err.identifier, names);
  code = 9;
  if any(known)
    code = codes(known);
  end
end
