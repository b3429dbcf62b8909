classdef Opaque
%OPAQUE A Python object that no value can hold: the name of its type and its repr, for people to read.
  properties
    typeName
    repr
  end
  methods
    function self = Opaque(typeName, repr)
      self.typeName = typeName;
      self.repr = repr;
    end
  end
end
